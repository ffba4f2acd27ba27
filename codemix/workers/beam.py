"""Steps on the runner of a Beam pipeline."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pickle
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codemix.checked import Name, checked
from codemix.errors import CodemixError, UserError
from codemix.repeating import repeating
from codemix.storage import as_path, is_remote, remove, write_bytes
from codemix.terminal import is_verbose
from codemix.workers.step import Progress, Step, no_progress, pickled

POLL_S = 0.5


@dataclasses.dataclass(frozen=True)
@checked
class Beam:
  """A Beam pipeline on any runner, which its options name.

  The workers read and write the same paths as this process: on a cluster,
  `Data.directory` is in a bucket, or lies on a file system that is mounted at the same place on
  every machine; and codemix is installed in the workers' container.

  Attributes:
    options: the pipeline's options as on a command line, such as `'--runner=DirectRunner'`,
      `'--direct_num_workers=8'`, `'--direct_running_mode=multi_processing'`.
  """

  options: tuple[Name, ...] = ('--runner=DirectRunner',)

  def map(
    self, function: Step, items: Sequence, progress: Progress = no_progress, folder: Path | None = None
  ) -> list:
    step, _ = pickled(function, items)
    with _outcomes_folder(folder) as outcomes:
      count = lambda: progress(len(list(outcomes.glob('*.pickle'))))
      with repeating(count, POLL_S), _silent_children():
        self._run(step, items, str(outcomes))
      count()
      return [_read_result(outcomes, index, item) for index, item in enumerate(items)]

  def _run(self, step: bytes, items: Sequence, outcomes: str) -> None:
    try:
      import apache_beam as beam
      from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
      raise UserError(
        "Data.workers is Beam(), and Apache Beam is not installed: pip install 'codemix[beam]', or set Data.workers to a number of processes."
      ) from None
    if not is_verbose():
      # The errors of a worker come back through the pipeline.
      logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
    try:
      # Workers that are processes of their own take their log level from here.
      quiet = [] if is_verbose() else ['--default_sdk_harness_log_level=CRITICAL']
      pipeline = beam.Pipeline(options=PipelineOptions([*quiet, *self.options]))
    except ValueError as error:
      raise UserError(f'Beam.options {list(self.options)} name no pipeline that Beam can make: {error}') from None
    _ = (
      pipeline
      | beam.Create(list(enumerate(items)))
      | beam.Reshuffle()  # else a runner may fuse all items into one bundle
      | beam.Map(_beam_step, step, outcomes)
    )
    pipeline.run().wait_until_finish()


def _beam_step(numbered: tuple[int, Any], step: bytes, outcomes: str) -> None:
  """Runs one item on a Beam worker and writes its outcome to a file: a pipeline returns nothing.

  A CodemixError is an outcome: the runner would retry it. Other errors are left to the runner.
  """
  index, item = numbered
  folder = as_path(outcomes)
  failed = folder / 'failed'
  if failed.exists():
    return
  try:
    value = pickle.loads(step)(item)
  except CodemixError as error:
    write_bytes(failed, pickle.dumps(error))
  else:
    write_bytes(folder / f'{index}.pickle', pickle.dumps(value))


def _read_result(outcomes: Path, index: int, item: Any) -> Any:
  failed, path = outcomes / 'failed', outcomes / f'{index}.pickle'
  if failed.exists():
    raise pickle.loads(failed.read_bytes())
  if not path.exists():
    raise CodemixError(f'the Beam pipeline ended without {item}. Its workers may not see {outcomes.parent}: mount it there at the same path.')
  return pickle.loads(path.read_bytes())


@contextlib.contextmanager
def _outcomes_folder(folder: Path | None) -> Iterator[Path]:
  """A folder for the outcomes of items, which is removed after the block."""
  if folder is None or not is_remote(folder):
    with tempfile.TemporaryDirectory(prefix='beam-', dir=folder, ignore_cleanup_errors=True) as name:
      yield Path(name)
    return
  outcomes = folder / f'beam-{secrets.token_hex(8)}'
  try:
    yield outcomes
  finally:
    remove(outcomes)


@contextlib.contextmanager
def _silent_children() -> Iterator[None]:
  """Discards the stderr of processes that are started in the block; this process keeps its own.

  A runner's worker processes log before they read their log level. Their errors
  come back through the pipeline.
  """
  if is_verbose():
    yield
    return
  stderr = sys.stderr
  stderr.flush()
  saved = os.dup(2)
  with open(os.devnull, 'w') as null, os.fdopen(os.dup(2), 'w', buffering=1) as sys.stderr:
    os.dup2(null.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(saved, 2)
      os.close(saved)
      sys.stderr = stderr
