"""Prepares everything that a study reads: the tokenizer, then each split of each source."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from codemix import interrupts
from codemix.data.batches.matched import companions
from codemix.data.settings import Data
from codemix.data.store.token_store import TokenStore
from codemix.errors import Preempted, UserError, of_process
from codemix.parallel.coordination import decide
from codemix.studies.planning import scored_names, source_names
from codemix.studies.recipe import Study
from codemix.studies.seqio_mixtures import expand_study, read_mixtures, unsaved
from codemix.studies.starts import check_starts

ERROR_PREFIX = 'codemix prepare: '  # of the line with the error that ended it
ENDING_S = 20  # in which the process that prepares ends when it is asked to


def splits_read(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that must be prepared: to train on, unless streamed, to match in size, and to score."""
  study = expand_study(study, data)
  names = source_names(study)
  trained = [] if data.streaming else [*names, *companions(data.matched, names)]
  return [(name, 'train') for name in trained] + [(name, 'validation') for name in scored_names(study)]


def prepare_study(
  study: Study, data: Data, progress: Callable[[str], None], again: bool = False
) -> dict[tuple[str, str], TokenStore]:
  """Trains the tokenizer if there is none, and writes each token store that is missing.

  Imports SeqIO and TensorFlow if a source is not a corpus of `Data.sources`. Raises UserError if a
  source does not exist or a tokenizer cannot be had.

  Args:
    progress: called with lines to show.
    again: whether existing stores are written anew.
  """
  from codemix.data.prepare.source import check_source, prepare, train_tokenizer

  study = read_mixtures(study, data, save=True)
  check_sources(study, data)  # first, with the error that `codemix inspect` shows
  splits = splits_read(study, data)
  for split in splits:  # all of them, before the first is tokenized for hours
    check_source(*split, data)
  tokenizer = train_tokenizer(data, progress)
  if tokenizer.changes:
    progress(f'tokenizer: {data.tokenizer_path} changes text, as Data.allow_lossy_tokenizer lets it: {"; ".join(tokenizer.changes)}')
  return {(source, split): prepare(source, split, data, tokenizer, progress, again) for source, split in splits}


def missing(study: Study, data: Data) -> list[tuple[str, str]]:
  """The (source, split) pairs that `prepare_study` has yet to write.

  If the rates of SeqIO mixtures are not saved, their tasks are not known: these are their names.
  """
  if mixtures := unsaved(study, data):
    return [(name, 'train') for name in mixtures]
  if data.tokenizer != 'bytes' and not data.tokenizer_path.exists():
    return splits_read(study, data)
  tokenizer = data.load_tokenizer()
  return [pair for pair in splits_read(study, data) if not data.is_prepared(*pair, tokenizer)]


def require_prepared(study: Study, data: Data, gin_arguments: Sequence[str]) -> None:
  """Checks that no process lacks data; all processes call it.

  Raises UserError in all processes, with what is missing, where, and the command that prepares it.

  Args:
    gin_arguments: the gin flags of the command line, from which `data` was built.
  """
  mine = [f'{source} ({split})' for source, split in missing(study, data)]
  if lacking := decide(mine, _lacking):
    command = shlex.join(['codemix', 'prepare', *gin_arguments])
    raise UserError(f'not prepared: {lacking}. Several processes, or a single unit, do not prepare. Run `{command}` first, on one machine.')


def _lacking(of_processes: Sequence[Sequence[str]]) -> str:
  """What the first process that lacks data lacks, in words; '' if none does."""
  number = next((number for number, found in enumerate(of_processes) if found), None)
  if number is None:
    return ''
  where = '' if all(found == of_processes[0] for found in of_processes) else f', in process {number}'
  return ', '.join(of_processes[number]) + where


def check_sources(study: Study, data: Data) -> None:
  """Checks that every source that is yet to be prepared exists, and the starts, with whose tokenizer they are prepared.

  Imports SeqIO and TensorFlow if a source is neither prepared nor a corpus of `Data.sources`.
  Raises UserError if one does not exist or has no such split.
  """
  check_starts(study, data)
  for split in missing(read_mixtures(study, data, save=False), data):
    from codemix.data.prepare.source import check_source  # imports readers of raw files

    check_source(*split, data)


def prepare_in_own_process(study: Study, data: Data, gin_arguments: Sequence[str], warnings: Sequence[str] = ()) -> None:
  """Prepares what is missing, so that TensorFlow stays out of the process that trains.

  SIGTERM and Ctrl-C end the process that prepares, too.

  Raises the CodemixError that that process raised, with its exit code, and Preempted when SIGTERM comes.

  Args:
    gin_arguments: the gin flags of the command line, from which `data` was built.
    warnings: lines that this process has shown and that are not shown again.
  """
  if not missing(study, data):
    return
  reason = None
  with _preparing(gin_arguments) as process:
    for line in process.stderr:  # its progress, as it comes
      if line.startswith(ERROR_PREFIX):
        reason = line.removeprefix(ERROR_PREFIX).rstrip('\n')
      elif line.rstrip('\n') not in warnings:
        print(line, end='', file=sys.stderr, flush=True)
    returned = process.wait()
  if returned:
    how = f'was ended by {signal.Signals(-returned).name}' if returned < 0 else f'ended with exit code {returned}'
    raise of_process(returned, reason or f'`codemix prepare` {how}.')


@contextlib.contextmanager
def _preparing(gin_arguments: Sequence[str]) -> Iterator[subprocess.Popen]:
  """The process that prepares; it has ended when the block has."""
  words = [sys.executable, '-m', 'codemix', 'prepare', *gin_arguments]
  piped = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'encoding': 'utf-8', 'errors': 'replace'}
  started = stopped = False

  def stop(*_: object) -> None:
    nonlocal stopped
    again, stopped = stopped, True
    if started and not again:
      raise _stopped()

  with interrupts.handled(signal.SIGTERM, stop):
    process = subprocess.Popen(words, env={**os.environ, 'PYTHONIOENCODING': 'utf-8'}, **piped)
    try:
      started = True
      if stopped:  # while it was started
        raise _stopped()
      yield process
    except BaseException:
      process.terminate()
      _end(process)
      raise
    finally:
      process.stderr.close()


def _stopped() -> Preempted:
  return Preempted('asked to stop; whatever was prepared is kept. The same command goes on from there.')


def _end(process: subprocess.Popen) -> None:
  try:
    process.wait(ENDING_S)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()
