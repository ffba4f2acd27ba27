"""`codemix prepare` of a SeqIO task: text for a tokenizer, and a token store whose shards `Data.workers` write."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import seqio

from codemix.data.corpus.bad_share import merged
from codemix.data.seqio.corpus_task import CorpusDataSource
from codemix.data.seqio.function_identity import Described, has_functions, same_task
from codemix.data.seqio.registry import find_task, import_tasks
from codemix.data.seqio.task_documents import FEATURE, WHOLE, task_examples
from codemix.data.seqio.task_identity import source_files, task_identity, unknown_parts
from codemix.data.seqio.task_shard import WriteTaskShard
from codemix.data.settings import Data, store_identity
from codemix.data.store import raw_files, token_store
from codemix.data.store.earlier_store import store_folder
from codemix.data.store.shard_writer import parts_in
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import file_digest
from codemix.storage import locked, remove


def sample(name: str, size: int) -> Iterator[bytes]:
  """The first `size` bytes of a task's train split, as whole documents before tokenization.

  Raises UserError: no such task, it keeps no text, or it cannot be read.
  """
  for document in task_examples(find_task(name, 'train'), 'train', WHOLE):
    text = document.get(f'{FEATURE}_pretokenized')
    if text is None:
      raise UserError(
        f"the SeqIO task '{name}' keeps no '{FEATURE}_pretokenized' text, so a tokenizer cannot be trained on it."
      )
    yield text
    size -= len(text)
    if size <= 0:
      return


def prepare_task(
  name: str, split: str, data: Data, tokenizer: Tokenizer, progress: Callable, again: bool = False
) -> TokenStore:
  """Writes one split of one task into a token store, or finds it already written.

  The store's folder is named by a hash of what decides its tokens, so an edited source,
  preprocessor or tokenizer makes a new store beside the old one. `progress` names the parts whose
  changes cannot be seen; `again` writes the store anew in its place.

  Raises UserError: no such task or split, or its documents cannot be read.
  """
  import_tasks(data)
  task = find_task(name, split)
  described = Described()
  made_of = task_identity(task, split, described)
  identity = store_identity(name, split, tokenizer, data.shards, made_of)
  corpus = task.source.corpus if isinstance(task.source, CorpusDataSource) else None
  changed = lambda then: corpus and corpus.changed_since(then['source'])
  is_same = lambda then: not again and same_task(then, identity) and not changed(then)
  unseen = ' Whether the code of its functions has changed since then is not known.'
  # Absolute: workers may run in another folder.
  unseen *= has_functions(identity)
  folder = store_folder(data.root.absolute() / 'stores', identity, is_same, progress, unseen)
  with locked(folder, f'preparing {name}'):
    if again:
      token_store.clear(folder)
    for part in parts_in(folder):
      remove(part)  # left by a process that was killed
    if not (folder / 'manifest.json').exists():
      _write_store(folder, task, identity, data, tokenizer, progress)
    elif unknown := unknown_parts(task, described):
      progress(
        f'prepare: {name} {split} was prepared before, and codemix cannot find out whether it has changed: {unknown}. '
        '`codemix prepare --again` prepares it again.'
      )
    store = token_store.open_store(folder, tokenizer=tokenizer)
    files = {path: file_digest(path) for path in source_files(task.source, split) if os.path.isfile(path)}
    raw_files.remember(folder, {**files, **{os.path.abspath(path): known for path, known in described.files.items()}})
    data.point_to(store, name, split, tokenizer)
  return store


def _write_store(
  folder: Path, task: seqio.Task, identity: dict, data: Data, tokenizer: Tokenizer, progress: Callable
) -> None:
  """Writes the shards that are missing, then the manifest."""
  split = identity['split']
  names = tuple(token_store.shard_name(index, data.shards) for index in range(data.shards))
  missing = [name for name in names if not token_store.shard_is_complete(folder, name)]
  there = len(names) - len(missing)
  progress(f'prepare: {task.name} {split}' + (f', {there} of {len(names)} shards are there' if there else ''))
  # The workers need no corpora, which may hold what cannot be pickled.
  registered = dataclasses.replace(data, directory=str(data.root.absolute()), sources=(), workers=1)
  step = WriteTaskShard(folder, task.name, split, registered, tokenizer, names)
  data.make_workers().map(step, missing, folder=folder)
  if isinstance(task.source, CorpusDataSource):
    accounts = [token_store.read_shard(folder, name)['accounts'] for name in names]
    merged(counts['read'] for counts in accounts if 'read' in counts).check(task.source.corpus, unread=0)
  store = token_store.write_manifest(folder, identity, names, token_store.token_dtype(tokenizer.vocab_size), tokenizer)
  if not store.documents:
    remove(folder / 'manifest.json')
    raise UserError(
      f"the SeqIO task '{task.name}' gave no document with text in its split '{split}' ({store.manifest['accounts']['empty']:,} are empty)."
    )
