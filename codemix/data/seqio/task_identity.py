"""What decides the examples of a SeqIO task: its preprocessors and its source, as plain data."""

from __future__ import annotations

import os
from collections.abc import Callable

import seqio

from codemix.data.corpus.identity import described as corpus_part
from codemix.data.seqio.corpus_task import CorpusDataSource
from codemix.data.seqio.function_identity import Described
from codemix.data.seqio.task_documents import VERSION
from codemix.identity import file_digest


def task_identity(
  task: seqio.Task, split: str, described: Described | None = None, describe: Callable[[object], dict] = corpus_part
) -> dict:
  """The preprocessors of a task, with the values that they read, and its source.

  'files' holds the local files that a function names, 'unknown' the values that cannot be compared
  with those of an earlier run. A function that is a source may read more than both.

  Args:
    described: describes the functions, and collects the files and the unknown values.
    describe: describes the reader, row parser and filters of a corpus.
  """
  described = described or Described()
  identity = {
    'documents': VERSION,
    'preprocessors': [described.function(step) for step in task.preprocessors],
    'source': _source_identity(task.source, split, described, describe),
  }
  if described.files:
    identity['files'] = {os.path.basename(path): known for path, known in described.files.items()}
  if described.unknown:
    identity['unknown'] = described.unknown
  return identity


def _source_identity(
  source: seqio.DataSource, split: str, described: Described, describe: Callable[[object], dict]
) -> dict:
  if isinstance(source, CorpusDataSource):
    return source.corpus.identity(split, describe=describe)
  if isinstance(source, seqio.TfdsDataSource):
    tfds = source.tfds_dataset
    slices = tfds.tfds_splits or {}
    return {'tfds': tfds.builder.info.full_name, 'split': repr(slices.get(split, split))}
  if isinstance(source, seqio.FunctionDataSource):
    return {'function': described.function(source._dataset_fn)}
  return {'files': {os.path.basename(path): file_digest(path) for path in source_files(source, split)}}


def source_files(source: seqio.DataSource, split: str) -> list[str]:
  """The files that a source lists; none of a TFDS data set or a function."""
  if isinstance(source, CorpusDataSource):
    return source.corpus.urls(split)
  if isinstance(source, seqio.TfdsDataSource | seqio.FunctionDataSource):
    return []
  return sorted(source.list_shards(split))


def unknown_parts(task: seqio.Task, described: Described) -> str:
  """The parts of a task whose changes codemix cannot see, in words; '' where it sees all."""
  parts = [f'the value {value}' for value in described.unknown]
  if isinstance(task.source, seqio.FunctionDataSource):
    files = ', '.join(sorted(map(os.path.basename, described.files)))
    parts.append('what its function reads' + (f' beside {files}' if files else ''))
  return ' and '.join(parts)
