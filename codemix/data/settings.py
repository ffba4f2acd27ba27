"""Where a run's data lie and which tokenizer reads them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from codemix.data.token_store import TokenStore, open_store
from codemix.data.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.files import write_text


def default_directory() -> Path:
  """`$CODEMIX_DATA_DIR`, else the user's cache folder."""
  if directory := os.environ.get('CODEMIX_DATA_DIR'):
    return Path(directory)
  return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'codemix'


@dataclasses.dataclass(frozen=True)
class Data:
  """What is prepared, and where.

  Attributes:
    directory: holds corpora, tokenizers and token stores; None for
      `$CODEMIX_DATA_DIR`, else the user's cache folder.
    tokenizer: 'bytes', or a path to a `tokenizer.json` or a SentencePiece
      `.model`; a relative path is looked for in `directory`.
    train_on: SeqIO tasks that `codemix tokenizer` trains the tokenizer on.
    vocab_size: entries of a tokenizer that is trained, special ids included.
    sample_bytes: text of each task read for training it.
    task_modules: modules imported so that they register their SeqIO tasks.
    shards: files that one split of a task is written in; an interrupted
      `prepare` goes on at the first that is missing.
  """

  directory: str | None = None
  tokenizer: str = 'bytes'
  train_on: tuple[str, ...] = ()
  vocab_size: int = 8192
  sample_bytes: int = 8_000_000
  task_modules: tuple[str, ...] = ('codemix.data.tasks',)
  shards: int = 8

  @property
  def root(self) -> Path:
    return Path(self.directory) if self.directory else default_directory()

  @property
  def tokenizer_path(self) -> Path:
    return self.root / self.tokenizer

  def load_tokenizer(self) -> Tokenizer:
    """Raises UserError where there is none yet, naming the command that makes it."""
    if self.tokenizer == 'bytes':
      return load_tokenizer('bytes')
    if not self.tokenizer_path.exists():
      raise UserError(
        f'the tokenizer {self.tokenizer_path} does not exist. Train it with `codemix tokenizer` and the same gin '
        'files, or say where it is: Data.tokenizer names it, CODEMIX_DATA_DIR (or Data.directory) the folder.'
      )
    return load_tokenizer(self.tokenizer_path)

  def pointer(self, task: str, split: str, tokenizer: Tokenizer) -> Path:
    """The file that names the store last prepared for a split with a tokenizer."""
    return self.root / 'stores' / f'{task}-{split}-{tokenizer.digest[:8]}.current'

  def is_prepared(self, task: str, split: str, tokenizer: Tokenizer) -> bool:
    return self.pointer(task, split, tokenizer).exists()

  def open_store(self, task: str, split: str, tokenizer: Tokenizer) -> TokenStore:
    """Opens and checks a prepared store, without SeqIO or TensorFlow.

    Raises:
      UserError: it was never prepared, or is damaged.
    """
    pointer = self.pointer(task, split, tokenizer)
    if not pointer.exists():
      raise UserError(
        f"'{task}' ({split}) is not prepared with this tokenizer in {self.root}. Run `codemix prepare` with the same gin files, or set CODEMIX_DATA_DIR (or Data.directory) to where it is."
      )
    return open_store(
      pointer.parent / pointer.read_text().strip(),
      {'task': task, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)},
    )

  def point_to(self, store: TokenStore, task: str, split: str, tokenizer: Tokenizer) -> None:
    """Makes `store` the one that `open_store` finds."""
    write_text(self.pointer(task, split, tokenizer), store.folder.name + '\n')


def tokenizer_identity(tokenizer: Tokenizer) -> dict:
  """What of a tokenizer decides the ids: its bytes, and where BOS and EOS stand."""
  return {
    'kind': tokenizer.kind,
    'digest': tokenizer.digest,
    'vocab_size': tokenizer.vocab_size,
    'bos': f'input {tokenizer.bos_id} before each document',
    'eos': f'target {tokenizer.eos_id} after each document',
  }
