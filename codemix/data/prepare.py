"""`codemix prepare`: each source that a study reads becomes a token store, and the tokenizer before them.

A source is a corpus of `Data.sources`, which needs no SeqIO; or else a task of
SeqIO's registry, which with TensorFlow is imported only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from codemix.data import prepare_corpus
from codemix.data.quiet import silent_import
from codemix.data.settings import Data
from codemix.data.token_store import TokenStore, has_seal
from codemix.data.tokenizer import Tokenizer, train_bpe
from codemix.errors import UserError
from codemix.files import locked

Progress = Callable[[str], None]


def check_source(name: str, split: str, data: Data) -> None:
  """Finds what would end `prepare` before anything is tokenized.

  Raises:
    UserError: there is no such source, split or file.
  """
  if name in data.corpora:
    prepare_corpus.check_corpus(name, data.corpora[name], split)
  else:
    tasks = _seqio_tasks()
    tasks.import_tasks(data)
    tasks.find_task(name, split, data.corpora)


def prepare(name: str, split: str, data: Data, tokenizer: Tokenizer, progress: Progress) -> TokenStore:
  """Writes one split of a source into a token store, or finds it already written.

  Raises:
    UserError: no such source or split, or its data are not what they should be.
  """
  check_source(name, split, data)
  prepared = prepare_corpus.prepare_corpus if name in data.corpora else _seqio_tasks().prepare_task
  store = prepared(name, split, data, tokenizer, progress)
  if not has_seal(store):
    progress(f'{name} {split}: prepared by an older codemix, so its digest depends on Data.shards too; it is used as it is, and what was trained from it stays valid')
  return store


def train_tokenizer(data: Data, progress: Progress) -> Tokenizer:
  """Trains Data.tokenizer on the raw text of Data.train_on, unless it is already there.

  Raises:
    UserError: nothing to train on, or Data.tokenizer is no `.json`.
  """
  if data.tokenizer == 'bytes' or data.tokenizer_path.exists():
    return data.load_tokenizer()
  if not data.train_on or data.tokenizer_path.suffix != '.json':
    raise UserError(
      f'the tokenizer {data.tokenizer_path} does not exist and cannot be trained: give Data.train_on the names of '
      'sources, and Data.tokenizer a name that ends in .json.'
    )
  for name in data.train_on:
    check_source(name, 'train', data)
  with locked(data.root / 'tokenizers', 'training a tokenizer'):
    progress(f'tokenizer: reading {data.sample_bytes / 1e6:g} MB of each of {", ".join(data.train_on)}')
    texts = (text for name in data.train_on for text in _sample(name, data))
    return train_bpe(texts, data.vocab_size, data.tokenizer_path)


def _sample(name: str, data: Data) -> Iterator[str | bytes]:
  """The first Data.sample_bytes bytes of a source's train split, as whole documents."""
  if name not in data.corpora:
    yield from _seqio_tasks().sample(name, data.sample_bytes)
    return
  left = data.sample_bytes
  for record in prepare_corpus.documents(data.corpora[name], 'train'):
    yield record.text
    left -= len(record.text.encode())
    if left <= 0:
      return


def _seqio_tasks():
  with silent_import():
    from codemix.data import seqio_tasks
  return seqio_tasks
