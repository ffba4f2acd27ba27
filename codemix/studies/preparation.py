"""Prepares everything that a study reads: the tokenizer, then each split of each source."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from codemix.data.seqio.tensorflow_import import suppress_stderr
from codemix.data.settings import Data
from codemix.data.store.token_store import TokenStore
from codemix.errors import CodemixError, UserError
from codemix.studies.planning import scored_names, source_names
from codemix.studies.recipe import Study
from codemix.studies.seqio_mixtures import expand_study, read_mixtures, unsaved

PREPARE_SAYS = 'codemix prepare: '  # before the line in which it says why it ends

__all__ = ['check_sources', 'missing', 'prepare_in_own_process', 'prepare_study', 'suppress_stderr', 'splits_read']


def splits_read(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that the study reads prepared: to train on, unless that is streamed, and to score."""
  study = expand_study(study, data)
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
  from codemix.data.prepare.source import prepare, train_tokenizer

  study = read_mixtures(study, data, save=True)
  check_sources(study, data)
  splits = splits_read(study, data)
  _check(splits, data)  # all of them, before the first is tokenized for hours
  tokenizer = train_tokenizer(data, progress)
  if tokenizer.changes:
    progress(f'tokenizer: {data.tokenizer_path} changes text, as Data.allow_lossy_tokenizer lets it: {"; ".join(tokenizer.changes)}')
  return {(task, split): prepare(task, split, data, tokenizer, progress, again) for task, split in splits}


def missing(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that `prepare_study` has yet to write.

  Where the rates of SeqIO mixtures are not saved, their tasks are not known: these are their names.
  """
  if mixtures := unsaved(study, data):
    return [(name, 'train') for name in mixtures]
  if data.tokenizer != 'bytes' and not data.tokenizer_path.exists():
    return splits_read(study, data)
  tokenizer = data.load_tokenizer()
  return [pair for pair in splits_read(study, data) if not data.is_prepared(*pair, tokenizer)]


def check_sources(study: Study, data: Data) -> None:
  """Every source that is yet to be prepared is one that can be.

  Imports SeqIO and TensorFlow where one is neither prepared nor a corpus of `Data.sources`.

  Raises:
    UserError: one does not exist, or has no such split.
  """
  _check(missing(read_mixtures(study, data, save=False), data), data)


def _check(splits: Sequence[tuple[str, str]], data: Data) -> None:
  if splits:
    from codemix.data.prepare.source import check_source

    for task, split in splits:
      check_source(task, split, data)


def prepare_in_own_process(study: Study, data: Data, gin_arguments: Sequence[str], warnings: Sequence[str] = ()) -> None:
  """Prepares what is missing, so that TensorFlow stays out of the process that trains.

  Args:
    gin_arguments: the command line's gin flags, which say what `data` says.
    warnings: lines that this process has shown, which that one is not to show again.

  Raises:
    CodemixError: what that process raised.
  """
  if not missing(study, data):
    return
  command = [sys.executable, '-m', 'codemix', 'prepare', *gin_arguments]
  said = None
  piped = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'encoding': 'utf-8', 'errors': 'replace'}
  with subprocess.Popen(command, env={**os.environ, 'PYTHONIOENCODING': 'utf-8'}, **piped) as process:
    for line in process.stderr:  # its progress, as it comes
      if line.startswith(PREPARE_SAYS):
        said = line.removeprefix(PREPARE_SAYS).rstrip('\n')
      elif line.rstrip('\n') not in warnings:
        print(line, end='', file=sys.stderr, flush=True)
  if process.returncode:
    kind = UserError if process.returncode == UserError.exit_code else CodemixError
    raise kind(said or f'`codemix prepare` ended with exit code {process.returncode}.')
