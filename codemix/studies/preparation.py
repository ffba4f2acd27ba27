"""Prepares everything that a study reads: the tokenizer, then each split of each source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from codemix.data.quiet import silent_import
from codemix.data.settings import Data
from codemix.data.token_store import TokenStore
from codemix.errors import CodemixError, UserError
from codemix.studies.planning import scored_names, source_names
from codemix.studies.recipe import Study

__all__ = ['missing', 'prepare_in_own_process', 'prepare_study', 'silent_import', 'splits_read']


def splits_read(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that the study reads prepared: to train on, unless that is streamed, and to score."""
  trained = [] if data.streaming else source_names(study)
  return [(name, 'train') for name in trained] + [(name, 'validation') for name in scored_names(study)]


def prepare_study(
  study: Study, data: Data, progress: Callable[[str], None], again: bool = False
) -> dict[tuple[str, str], TokenStore]:
  """Trains the tokenizer if there is none, and writes each token store that is missing.

  With `again` each of them is written anew, also where it is there. Imports SeqIO and TensorFlow where a source is no corpus of `Data.sources`.

  Raises:
    UserError: a source that does not exist, or a tokenizer that cannot be had.
  """
  from codemix.data.prepare import check_source, prepare, train_tokenizer

  splits = splits_read(study, data)
  for task, split in splits:  # all of them, before the first is tokenized for hours
    check_source(task, split, data)
  tokenizer = train_tokenizer(data, progress)
  if tokenizer.changes:
    progress(f'tokenizer: {data.tokenizer_path} changes text, as Data.allow_lossy_tokenizer lets it: {"; ".join(tokenizer.changes)}')
  return {(task, split): prepare(task, split, data, tokenizer, progress, again) for task, split in splits}


def missing(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that `prepare_study` has yet to write."""
  if data.tokenizer != 'bytes' and not data.tokenizer_path.exists():
    return splits_read(study, data)
  tokenizer = data.load_tokenizer()
  return [pair for pair in splits_read(study, data) if not data.is_prepared(*pair, tokenizer)]


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
