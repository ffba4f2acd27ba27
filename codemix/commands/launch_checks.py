"""What `codemix launch` checks here before machines elsewhere are asked for: there it would be found after hours in a queue."""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Iterator

from codemix.commands.experiment import Experiment, show_line
from codemix.errors import StorageUnavailable, UserError
from codemix.launch.specification import BUCKETS, require_bucket
from codemix.storage import as_path
from codemix.storage.outages import outage
from codemix.storage.paths import SCHEMES

_CONTAINERS = ('xpk', 'jobset')  # where every start has new ones


def require_buckets(experiment: Experiment, directory: str | None) -> None:
  """Raises UserError if the run reads or writes a folder of this machine.

  Args:
    directory: the data folder, of `Data` or CODEMIX_DATA_DIR.
  """
  require_bucket('Runtime.output', experiment.runtime.output)
  require_bucket('Data.directory', directory)
  if os.path.isabs(experiment.data.tokenizer):
    require_bucket('Data.tokenizer', experiment.data.tokenizer)
  for start in _starts(experiment):
    require_bucket('Recipe.start', start)


def require_ready(experiment: Experiment, directory: str) -> None:
  """Checks that the data are prepared and the starts can be started from.

  A bucket that cannot be read from here is not an error, since the machines may have other rights: a warning says so. Without
  an answer that takes up to a minute.

  Raises UserError, with the command that prepares what is missing.
  """
  from codemix.studies.preparation import missing
  from codemix.studies.starts import check_starts

  package, extra = SCHEMES[directory.partition('://')[0]]
  if importlib.util.find_spec(package) is None:
    _warn(directory, f"{package} is not installed here: pip install 'codemix[{extra}]'")
    return
  try:
    if any(_starts(experiment)):
      check_starts(experiment.study, experiment.data)
    lacking = missing(experiment.study, experiment.data)
  except StorageUnavailable as error:
    _warn(directory, str(error))
  except Exception as error:
    if (found := outage(error, as_path(directory))) is None:
      raise
    _warn(directory, str(found))
  else:
    if lacking:
      names = ', '.join(f'{source} ({split})' for source, split in lacking)
      raise UserError(f'not prepared in {directory}: {names}. Run `{shlex.join(["codemix", "prepare", *experiment.gin_arguments])}` first, on a machine without chips that would wait.')


def warn_of_compiling(experiment: Experiment, where: str) -> None:
  """Warns if programs are compiled at each start: the disk of a container goes with it."""
  cache = experiment.runtime.compilation_cache
  if where in _CONTAINERS and not (cache or '').startswith(BUCKETS[0]):
    what = 'is not bound' if cache is None else f"is '{cache}', a folder of the container"
    show_line(f"warning: Runtime.compilation_cache {what}, so programs are compiled at each start. To keep them, bind a bucket: --gin.Runtime.compilation_cache=\"'gs://BUCKET/compiled'\"")


def _starts(experiment: Experiment) -> Iterator[str]:
  return (recipe.start for recipe in experiment.study.recipes.values() if recipe.start is not None)


def _warn(directory: str, reason: str) -> None:
  show_line(f'warning: it is not known whether the data are prepared, since {directory} cannot be read from here ({reason})')
