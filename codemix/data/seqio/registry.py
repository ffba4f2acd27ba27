"""SeqIO tasks as sources: found in the registry, read through tf.data, written into token stores.

This and `task_documents`, `vocabularies`, `tasks` and `sources.task` are where a run needs SeqIO
and TensorFlow; whoever has the stores can train without either.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import seqio
import tensorflow as tf

from codemix.data.corpus.identity import described as corpus_part
from codemix.data.seqio.corpus_task import CorpusDataSource
from codemix.data.seqio.function_identity import Described, has_functions, same_task
from codemix.data.seqio.task_documents import (
  FEATURE,
  VERSION,
  check_feature,
  task_documents,
  task_examples,
)
from codemix.data.settings import Data, tokenizer_identity
from codemix.data.store import raw_files, record_counts, token_store
from codemix.data.store.earlier_store import earlier_store, words_of_use
from codemix.data.store.record_counts import RecordCounts
from codemix.data.store.shard_writer import parts_in, writing_shard
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError, nearest
from codemix.files import locked
from codemix.identity import digest, file_digest

WHOLE = seqio.ShardInfo(0, 1)
WRITE_DOCUMENTS = 1024  # handed to a shard's writer at a time

Progress = Callable[[str], None]


def import_tasks(data: Data) -> None:
  """Imports the modules that register tasks, with the data folder where they look for it.

  Raises:
    UserError: a module is not there.
  """
  os.environ['CODEMIX_DATA_DIR'] = str(data.root)
  if '' not in sys.path and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())  # where a user's own module lies; a console script does not look there
  for module in data.task_modules:
    try:
      importlib.import_module(module)
    except ModuleNotFoundError as error:
      raise UserError(
        f"Data.task_modules names '{module}', which cannot be imported: {error}. Check the name and PYTHONPATH."
      ) from None


def find_task(name: str, split: str, sources: Collection[str] = ()) -> seqio.Task:
  """The registered task `name`, which has this split.

  Args:
    sources: names of Data.sources, where it was looked for before.

  Raises:
    UserError: there is none (with the nearest name), it is a SeqIO mixture, or it lacks the split.
  """
  if name in seqio.MixtureRegistry.names():
    raise UserError(
      f"'{name}' is a SeqIO mixture, whose rates count examples before packing. Name its tasks in the mixture "
      'with their shares of loss tokens instead.'
    )
  if name not in seqio.TaskRegistry.names():
    raise UserError(
      f"no SeqIO task is named '{name}', nor a corpus of Data.sources.{nearest(name, {*seqio.TaskRegistry.names(), *sources})} "
      'Add the corpus to Data.sources, or the module that registers the task to Data.task_modules.'
    )
  task = seqio.TaskRegistry.get(name)
  check_feature(task)
  if split not in task.splits:
    raise UserError(f"the SeqIO task '{name}' has no split '{split}'; it has {', '.join(task.splits)}.")
  return task


def sample(name: str, size: int) -> Iterator[bytes]:
  """The first `size` bytes of a task's train split, as whole documents before tokenization."""
  task = find_task(name, 'train')
  for document in task_examples(task, 'train', WHOLE):
    text = document.get(f'{FEATURE}_pretokenized')
    if text is None:
      raise UserError(
        f"the SeqIO task '{task.name}' keeps no '{FEATURE}_pretokenized' text, so a tokenizer cannot be trained on it."
      )
    yield text
    size -= len(text)
    if size <= 0:
      return


def prepare_task(
  name: str, split: str, data: Data, tokenizer: Tokenizer, progress: Progress, again: bool = False
) -> TokenStore:
  """Writes one split of one task into a token store, or finds it already written.

  The store's folder is named by a hash of what decides its tokens, so an edited
  source, preprocessor or tokenizer makes a new store beside the old. What of it
  cannot be known is said where the store is found written; `again` writes it
  anew in its place.

  Raises:
    UserError: no such task or split.
  """
  import_tasks(data)
  task = find_task(name, split)
  identity = store_identity(task, split, tokenizer, data.shards)
  described = Described()
  task_identity(task, split, described)
  folder = data.root / 'stores' / f'{name}-{split}-{digest(identity)[:12]}'
  if not again and not (folder / 'manifest.json').exists():
    changed = task.source.corpus.changed_since if isinstance(task.source, CorpusDataSource) else lambda source: []
    is_same = lambda then: same_task(then, identity) and not changed(then['source'])
    if found := earlier_store(data.root / 'stores', identity, is_same):
      folder = found
      unseen = ' Whether the code of its functions has changed since then is not known.' if has_functions(identity) else ''
      progress(f'{name} {split}: {words_of_use(folder)}{unseen}')
  with locked(folder, f'preparing {name}'):
    if again:
      token_store.clear(folder)
    for part in parts_in(folder):
      part.unlink(missing_ok=True)  # of a process that was killed
    if (folder / 'manifest.json').exists():
      if unseen := _not_known(task, described):
        progress(f"prepare: {name} {split} was prepared before, and codemix cannot find out whether it has changed: {unseen}. `codemix prepare --again` prepares it again.")
    else:
      _write_store(folder, task, split, tokenizer, identity, data, progress)
    store = token_store.open_store(folder, tokenizer=tokenizer)
    files = {path: file_digest(path) for path in _files(task.source, split) if os.path.isfile(path)}
    raw_files.remember(folder, {**files, **{os.path.abspath(path): known for path, known in described.files.items()}})
    data.point_to(store, name, split, tokenizer)
  return store


def _write_store(
  folder: Path, task: seqio.Task, split: str, tokenizer: Tokenizer, identity: dict, data: Data, progress: Progress
) -> None:
  names = [token_store.shard_name(index, data.shards) for index in range(data.shards)]
  there = sum(token_store.shard_is_complete(folder, name) for name in names)
  progress(f'prepare: {task.name} {split}' + (f', {there} of {data.shards} shards are there' if there else ''))
  for index, name in enumerate(names):
    if not token_store.shard_is_complete(folder, name):
      documents = task_documents(task, split, tokenizer, seqio.ShardInfo(index, data.shards))
      _write_shard(folder, name, documents, tokenizer)
  store = token_store.write_manifest(folder, identity, names, token_store.token_dtype(tokenizer.vocab_size), tokenizer)
  if not store.documents:
    (folder / 'manifest.json').unlink()
    raise UserError(
      f"the SeqIO task '{task.name}' gave no document with text in its split '{split}' ({store.manifest['accounts']['empty']:,} are empty)."
    )


def _write_shard(folder: Path, name: str, documents: Iterator[tuple[np.ndarray, bytes]], tokenizer: Tokenizer) -> None:
  booked, golden = RecordCounts(()), None
  with writing_shard(folder, name, token_store.token_dtype(tokenizer.vocab_size)) as shard:
    while block := list(itertools.islice(documents, WRITE_DOCUMENTS)):
      booked.records += len(block)
      written = [(ids, text) for ids, text in block if len(ids) > 1]  # others are EOS alone
      booked.empty += len(block) - len(written)
      if not written:
        continue
      streams, texts = zip(*written, strict=True)
      sizes = np.array([len(text) for text in texts], np.int64)
      shard.add(streams, sizes[:, None])
      golden = golden or _golden(streams[0], texts[0], tokenizer)
      booked.with_nul += sum(b'\0' in text for text in texts)
      booked.keep('', '', record_counts.amount(len(written), sizes.sum(), sum(map(len, streams))))
    shard.finish(golden=golden, accounts=booked.summary())


def _golden(ids: np.ndarray, text: bytes, tokenizer: Tokenizer) -> dict:
  try:
    beginning = text.decode()[: token_store.GOLDEN_CHARACTERS]
  except UnicodeDecodeError:
    return token_store.golden(ids)
  return token_store.golden(ids, beginning, tokenizer.encode(beginning))


def stream(task: seqio.Task, split: str, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
  """One epoch of a task: the ids of each document that has text, with EOS.

  Raises:
    UserError: the task's ids are not those of the tokenizer, or it cannot be read.
  """
  tf.config.set_visible_devices([], 'GPU')  # JAX's, in the same process
  return (ids for ids, _ in task_documents(task, split, tokenizer, WHOLE) if len(ids) > 1)


def store_identity(task: seqio.Task, split: str, tokenizer: Tokenizer, shards: int) -> dict:
  """All that decides the tokens of a prepared split, as far as it can be known, as plain data."""
  return {
    'format': token_store.FORMAT,
    'task': task.name,
    'split': split,
    'tokenizer': tokenizer_identity(tokenizer),
    **task_identity(task, split),
    'shards': shards,
  }


def task_identity(
  task: seqio.Task, split: str, described: Described | None = None, describe: Callable[[object], dict] = corpus_part
) -> dict:
  """What a task is made of: its preprocessors with the values that they read, and its source.

  'files' are local files that a function names, 'unknown' the values that cannot be compared with those of
  an earlier run. A function that is a source may read more than both.

  Args:
    task: what is described.
    split: which is read.
    described: describes the functions.
    describe: describes the reader, row parser and filters of a corpus.
  """
  described = described or Described()
  made_of = {
    'documents': VERSION,
    'preprocessors': [described.function(step) for step in task.preprocessors],
    'source': source_identity(task.source, split, described, describe),
  }
  files = {os.path.basename(path): known for path, known in described.files.items()}
  return {**made_of, **({'files': files} if files else {}), **({'unknown': described.unknown} if described.unknown else {})}


def source_identity(
  source: seqio.DataSource, split: str, described: Described, describe: Callable[[object], dict] = corpus_part
) -> dict:
  """What a SeqIO source holds: digests of its files, or its own description."""
  if isinstance(source, CorpusDataSource):
    return source.corpus.identity(split, describe=describe)
  if isinstance(source, seqio.TfdsDataSource):
    tfds = source.tfds_dataset
    slices = tfds.tfds_splits or {}
    return {'tfds': tfds.builder.info.full_name, 'split': repr(slices.get(split, split))}
  if isinstance(source, seqio.FunctionDataSource):
    return {'function': described.function(source._dataset_fn)}
  return {'files': {os.path.basename(path): file_digest(path) for path in _files(source, split)}}


def _files(source: seqio.DataSource, split: str) -> list[str]:
  """The files of a source that has any of its own."""
  if isinstance(source, CorpusDataSource):
    return source.corpus.urls(split)
  if isinstance(source, seqio.TfdsDataSource | seqio.FunctionDataSource):
    return []
  return sorted(source.list_shards(split))


def _not_known(task: seqio.Task, described: Described) -> str:
  """What of a task may have changed unseen, in words; '' where nothing can."""
  named = [f'the value {value}' for value in described.unknown]
  if isinstance(task.source, seqio.FunctionDataSource):
    files = ', '.join(sorted(map(os.path.basename, described.files)))
    named.append('what its function reads' + (f' beside {files}' if files else ''))
  return ' and '.join(named)
