"""What most verbs share: the gin flags, and the study, data and runtime that they configure."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codemix import config
from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.studies.recipe import Study
from codemix.training.runtime import Runtime


@dataclasses.dataclass(frozen=True)
class Experiment:
  """The configuration of the gin files and flags.

  Attributes:
    study: a study; a lone recipe is a study of one.
    data, runtime: where and how.
    gin_arguments: the gin flags, for a child process with the same configuration.
    command: the command line as typed.
    config: the text of one gin file with all bindings, and with the data folder.
    warnings: lines that were shown about the gin files; a child process would show them again.
    also: other configurables that the verb asked for, by name.
  """

  study: Study
  data: Data
  runtime: Runtime
  gin_arguments: tuple[str, ...]
  command: str
  config: str
  warnings: tuple[str, ...]
  also: Mapping[str, object]


def add_gin_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '--gin_file', action='append', default=[], metavar='FILE', help='a gin file; may be repeated, later ones win'
  )
  parser.add_argument(
    '--gin_search_paths', default='', metavar='DIRS', help="folders to look for gin files in, comma-separated, before codemix's own"
  )
  parser.add_argument(
    '--gin.NAME', dest='_example', metavar='VALUE', help="bind one value over the files, as in --gin.Recipe.seed=1"
  )


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--coordinator_address', metavar='HOST:PORT', help='of process 0, where there are several processes')
  parser.add_argument('--num_processes', type=int, metavar='N', help='how many processes train together')
  parser.add_argument('--process_id', type=int, metavar='K', help='which of them this is, from 0')


def show_line(line: str) -> None:
  """Prints a line of progress to stderr, so that stdout holds only results."""
  print(line, file=sys.stderr, flush=True)


def add_format_argument(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--format', choices=('text', 'json'), default='text', help='how results are printed')


def start_processes(arguments: argparse.Namespace) -> None:
  """Joins the other processes, if the flags or the cluster's launcher say that there are any."""
  given = (arguments.coordinator_address, arguments.num_processes, arguments.process_id)
  named = [value is not None for value in given]
  if any(named) and not all(named):
    raise UserError('--coordinator_address, --num_processes and --process_id go together: give all three, or none.')
  from codemix.parallel import processes

  if all(named) or processes.started_by_cluster():
    processes.initialize(*given)


def set_up_jax(runtime: Runtime) -> None:
  """Sets JAX's compilation cache if the runtime has one, and retains freed memory on CPUs."""
  import jax

  from codemix.models.cpu.heap import retain_heap

  retain_heap()
  if runtime.compilation_cache:
    jax.config.update('jax_compilation_cache_dir', runtime.compilation_cache)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


def parse_gin(arguments: argparse.Namespace) -> list[str]:
  """Reads the gin files and flags, in place of those read before.

  Returns:
    The warnings that it has shown.
  """
  return _warn(_parsed(arguments))


def _parsed(arguments: argparse.Namespace) -> list[str]:
  """Reads them; returns the warnings."""
  search_paths = [path for path in arguments.gin_search_paths.split(',') if path]
  return [f'warning: {warning}' for warning in config.parse(arguments.gin_file, arguments.gin_bindings, search_paths)]


def _warn(lines: Iterable[str]) -> list[str]:
  lines = list(lines)
  for line in lines:
    show_line(line)
  return lines


def load_experiment(arguments: argparse.Namespace, also: Sequence[str] = (), warns: bool = True) -> Experiment:
  """Reads the gin files and flags.

  Raises UserError if a binding is wrong, or no recipe or study is named.

  Args:
    also: further configurables to build, which bindings may then name.
    warns: whether warnings about the gin files are shown.
  """
  if not arguments.gin_file and not arguments.gin_bindings:
    raise UserError('give a recipe or study with --gin_file, such as --gin_file=studies/quickstart.gin.')
  warnings = _parsed(arguments)
  if warns:
    _warn(warnings)
  data = config.build('Data')
  experiment = Experiment(
    study=_study(arguments.gin_file),
    data=data,
    runtime=config.build('Runtime'),
    gin_arguments=(
      *(f'--gin_file={name}' for name in arguments.gin_file),
      *([f'--gin_search_paths={arguments.gin_search_paths}'] if arguments.gin_search_paths else []),
      *(f'--gin.{binding}' for binding in arguments.gin_bindings),
    ),
    command=shlex.join(['codemix', *sys.argv[1:]]),
    config=_one_file(data),
    warnings=(),
    also={name: config.build(name) for name in also},
  )
  config.check_used()
  if not warns:
    return experiment
  return dataclasses.replace(experiment, warnings=(*warnings, *_warn(f'warning: {line}' for line in config.shadowed())))


def _one_file(data: Data) -> str:
  directory = str(data.root)
  where = f'\n# The folder of the data, from the working folder or the environment.\nData.directory = {directory!r}\n' if data.directory != directory else ''
  return config.one_file() + where


def _study(files: list[str]) -> Study:
  if config.is_bound('Study', 'recipes'):
    return config.build('Study')
  if not config.is_bound('Recipe', 'stages'):
    scopes = config.scopes_of('Recipe', 'stages')
    instead = f"bind Study.recipes = {{'{scopes[0]}': @{scopes[0]}/Recipe()}}, or several of {', '.join(scopes)}" if scopes else 'name a file of gin/recipes or gin/studies'
    raise UserError(f'neither Study.recipes nor Recipe.stages is bound by {", ".join(files) or "the flags"}; {instead}.')
  name = Path(files[0]).stem if files else 'recipe'
  given = {} if config.is_bound('Study', 'name') else {'name': name}
  return config.build('Study', recipes={name: config.build('Recipe')}, **given)
