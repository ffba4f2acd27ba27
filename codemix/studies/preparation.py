"""Prepares everything that a study reads: the tokenizer, then each split of each source."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from codemix.data.settings import Data
from codemix.data.token_store import TokenStore
from codemix.errors import CodemixError, UserError
from codemix.studies.planning import source_names
from codemix.studies.recipe import Study


def splits_read(study: Study) -> list[tuple[str, str]]:
  """The (task, split) pairs that the study trains on or is scored on."""
  return [(name, 'train') for name in source_names(study)] + [
    (name, 'validation') for name in study.validation
  ]


def prepare_study(
  study: Study, data: Data, progress: Callable[[str], None]
) -> dict[tuple[str, str], TokenStore]:
  """Trains the tokenizer if there is none, and writes each token store that is missing.

  Imports SeqIO and TensorFlow.

  Raises:
    UserError: a task that does not exist, or a tokenizer that cannot be had.
  """
  with silent_import():
    from codemix.data.prepare import find_task, import_tasks, prepare, train_tokenizer

  splits = splits_read(study)
  import_tasks(data)
  for task, split in splits:  # all of them, before the first is tokenized for hours
    find_task(task, split)
  tokenizer = train_tokenizer(data, progress)
  return {(task, split): prepare(task, split, data, tokenizer, progress) for task, split in splits}


@contextlib.contextmanager
def silent_import() -> Iterator[None]:
  """Drops what TensorFlow writes to stderr while it is imported; it does so before it can be told not to."""
  sys.stderr.flush()
  kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)
    os.close(nowhere)


def missing(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (task, split) pairs that `prepare_study` has yet to write."""
  if data.tokenizer != 'bytes' and not data.tokenizer_path.exists():
    return splits_read(study)
  tokenizer = data.load_tokenizer()
  return [pair for pair in splits_read(study) if not data.is_prepared(*pair, tokenizer)]


def prepare_in_own_process(study: Study, data: Data, gin_arguments: Sequence[str]) -> None:
  """Prepares what is missing, so that TensorFlow stays out of the process that trains.

  Args:
    gin_arguments: the command line's gin flags, which say what `data` says.

  Raises:
    CodemixError: that process failed; it has said why.
  """
  if not missing(study, data):
    return
  command = [sys.executable, '-m', 'codemix', 'prepare', *gin_arguments]
  status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
  if status:
    kind = UserError if status == UserError.exit_code else CodemixError
    raise kind('`codemix prepare` did not finish; the line above says why.')
