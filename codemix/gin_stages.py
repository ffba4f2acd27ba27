"""The stages of a gin study as SeqIO tasks: for the module of tasks that T5X imports."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.studies.recipe import Study


def register_study(
  gin_files: Sequence[str], gin_bindings: Sequence[str] = (), gin_search_paths: Sequence[str] = ()
) -> list[str]:
  """Registers each stage of a recipe or study as the SeqIO task 'recipe/stage'.

      codemix.register_study(['recipes/balanced_to_text.gin', 'my_sources.gin'])
      seqio.get_mixture_or_task('balanced_to_text/balanced')

  The gin files are read in a process of their own, so the gin configuration of the calling program,
  such as T5X's, stays as it is. Everything must be prepared.

  Args:
    gin_files: as --gin_file.
    gin_bindings: as --gin.NAME=VALUE, such as 'Recipe.seed=1'.
    gin_search_paths: as --gin_search_paths.

  Returns:
    The names of the tasks.

  Raises:
    UserError: the gin files make no sense, something is not prepared, or a name is registered already.
  """
  from codemix.studies.planning import plan_study
  from codemix.studies.stage_tasks import register_stages

  return register_stages(plan_study(*_read(gin_files, gin_bindings, gin_search_paths)))


def _read(
  gin_files: Sequence[str], gin_bindings: Sequence[str], gin_search_paths: Sequence[str]
) -> tuple[Study, Data]:
  """The study and data that gin files build, built in another process."""
  with tempfile.TemporaryDirectory() as folder:
    result = Path(folder) / 'study.pickle'
    given = pickle.dumps((list(gin_files), list(gin_bindings), list(gin_search_paths)))
    command = [sys.executable, '-m', __name__, str(result)]
    ran = subprocess.run(command, input=given, stderr=subprocess.PIPE)
    if ran.returncode:
      lines = ran.stderr.decode(errors='replace').splitlines()
      raise UserError(lines[-1] if lines else f'the gin files cannot be read: exit code {ran.returncode}.')
    return pickle.loads(result.read_bytes())


def _write() -> None:
  """Reads the gin files that stdin names, and writes what they build to the file that the command names."""
  from codemix.commands.experiment import load_experiment

  files, bindings, search_paths = pickle.load(sys.stdin.buffer)
  arguments = argparse.Namespace(gin_file=files, gin_bindings=bindings, gin_search_paths=','.join(search_paths))
  try:
    experiment = load_experiment(arguments)
  except UserError as error:
    sys.exit(str(error))
  Path(sys.argv[1]).write_bytes(pickle.dumps((experiment.study, experiment.data)))


if __name__ == '__main__':
  _write()
