"""`codemix prepare`: trains the tokenizer, and writes each source of a study into a token store.

A source is a corpus of `Data.sources`, which needs no SeqIO; or else a task of
SeqIO's registry. SeqIO and TensorFlow are imported only for a task.
"""

from __future__ import annotations

from collections.abc import Iterator

from codemix.data.prepare.pipeline import prepare_corpus
from codemix.data.prepare.progress import Say
from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.data.settings import Data
from codemix.data.store.token_store import TokenStore
from codemix.data.store.verify import has_seal
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.storage import locked


def check_source(name: str, split: str, data: Data) -> None:
  """Finds what would end `prepare` before anything is tokenized.

  Raises UserError: there is no such source, split or file; or what `Corpus.check` raises.
  """
  if name in data.corpora:
    data.corpora[name].check(split)
  else:
    tasks = _seqio_tasks()
    tasks.import_tasks(data)
    tasks.find_task(name, split, data.corpora)


def prepare(
  name: str, split: str, data: Data, tokenizer: Tokenizer, progress: Say, again: bool = False
) -> TokenStore:
  """Writes one split of a source into a token store, or finds it already written.

  `progress` is called with lines that report what is done; `again` writes it anew.

  Raises UserError: no such source or split, or its data are not what they should be.
  """
  check_source(name, split, data)
  write = prepare_corpus if name in data.corpora else _seqio_tasks().prepare_task
  store = write(name, split, data, tokenizer, progress, again)
  if not has_seal(store):
    progress(f'{name} {split}: prepared by an older codemix, so its digest depends on Data.shards too; it is used as it is, and what was trained from it stays valid')
  return store


def train_tokenizer(data: Data, progress: Say, asked_for: bool = False) -> Tokenizer:
  """Trains Data.tokenizer on the raw text of Data.train_on, unless it is already there.

  Args:
    asked_for: the user ran `codemix tokenizer train`. Else it is not trained where an existing
      tokenizer has nearly the same name, which may be the one that was meant.

  Raises UserError: nothing to train on, Data.tokenizer is not a `.json`, or its name may be a slip.
  """
  if data.tokenizer == 'bytes' or data.tokenizer_path.exists():
    tokenizer = data.load_tokenizer()
    if data.train_on and data.tokenizer != 'bytes' and tokenizer.vocab_size != data.vocab_size:
      progress(
        f'tokenizer: {data.tokenizer_path} exists and has {tokenizer.vocab_size:,} entries; it is used as it is, and not trained '
        f'with Data.vocab_size = {data.vocab_size:,}. For another tokenizer give Data.tokenizer another name.'
      )
    return tokenizer
  suggested = data.suggested_tokenizer()
  if not data.train_on or data.tokenizer_path.suffix != '.json':
    raise UserError(
      f'the tokenizer {data.tokenizer_path} does not exist and cannot be trained.{suggested} Give Data.train_on the names of '
      'sources, and Data.tokenizer a name that ends in .json.'
    )
  if suggested and not asked_for:
    raise UserError(
      f'the tokenizer {data.tokenizer_path} does not exist.{suggested} If a new one is wanted, train it by name: '
      '`codemix tokenizer train` with the same gin files.'
    )
  for name in data.train_on:
    check_source(name, 'train', data)
  with locked(data.root / 'tokenizers', 'training a tokenizer'):
    progress(
      f'tokenizer: {data.tokenizer_path} does not exist; training a new one of {data.vocab_size:,} entries on '
      f'{data.sample_bytes / 1e6:g} MB of each of {", ".join(data.train_on)}'
    )
    texts = (text for name in data.train_on for text in _sample(name, data))
    return train_bpe(texts, data.vocab_size, data.tokenizer_path)


def _sample(name: str, data: Data) -> Iterator[str | bytes]:
  """The first Data.sample_bytes bytes of a source's train split, as whole documents."""
  if name not in data.corpora:
    return _seqio_tasks().sample(name, data.sample_bytes)
  return (record.text for record in data.corpora[name].kept('train', sample_bytes=data.sample_bytes))


def _seqio_tasks():
  with suppress_stderr():
    from codemix.data.seqio import prepare_task
  return prepare_task
