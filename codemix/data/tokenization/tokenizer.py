"""Tokenizers: byte-level BPE, SentencePiece, and raw bytes, behind one interface.

A tokenizer turns text into ids and back, and adds neither BOS nor EOS. Text is
`str` or bytes, and the bytes need not be UTF-8. Text that spells a special
token ('<eos>') is ordinary text: documents cannot forge a document end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from codemix.data.raw import local_files
from codemix.data.tokenization.text_bytes import BYTES, as_bytes
from codemix.errors import UserError, nearest
from codemix.storage import as_path, is_remote
from codemix.storage.outages import naming_outages

SPECIAL_TOKENS = ('<pad>', '<bos>', '<eos>')  # ids 0, 1 and 2 of what is trained here

class Tokenizer(Protocol):
  """Text to ids and back.

  Attributes:
    kind: 'bpe', 'sentencepiece' or 'bytes'.
    vocab_size: number of ids, special ids included.
    pad_id, bos_id, eos_id: the special ids; no text encodes to them.
    digest: sha256 of what defines the tokenizer (its file's bytes), 64 hex digits.
    changes: what its components change in text; () where all text is preserved.
  """

  kind: str
  vocab_size: int
  pad_id: int
  bos_id: int
  eos_id: int
  digest: str
  changes: tuple[str, ...] = ()

  def encode_batch(self, texts: Sequence[str | bytes]) -> list[list[int]]:
    """The ids of each text, over all cores where the backend can."""

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    """The bytes of the ids: those that were encoded, where the tokenizer `changes` nothing.

    Ids without text are dropped: the special ids, and those beyond the
    vocabulary, which a model with a padded embedding table may produce.
    """

  def encode(self, text: str | bytes) -> list[int]:
    """The ids of one text, without BOS and EOS."""
    return self.encode_batch([text])[0]

  def decode(self, ids: Sequence[int]) -> str:
    """`decode_bytes` as text, with U+FFFD for what is not UTF-8."""
    return self.decode_bytes(ids).decode('utf-8', 'replace')


def load_tokenizer(spec: str | Path, lossy: bool = False) -> Tokenizer:
  """Loads a tokenizer.

  Args:
    spec: 'bytes', or the path of a `.json` (Hugging Face `tokenizers`, byte-level
      BPE) or a `.model` (SentencePiece).
    lossy: whether it may change text; `Tokenizer.changes` then lists how.

  Raises UserError: no such file, a damaged one, one that is not a tokenizer, or one without the
  special tokens or that changes text (unless `lossy`).
  """
  # They inherit from the classes below.
  from codemix.data.tokenization.bpe import BpeTokenizer
  from codemix.data.tokenization.sentence_piece import SentencePieceTokenizer

  if str(spec) == 'bytes':
    return ByteTokenizer()
  path = as_path(spec)
  kind = {'.json': BpeTokenizer, '.model': SentencePieceTokenizer}.get(path.suffix)
  if kind is None:
    raise UserError(
      f"no tokenizer is called '{spec}': write 'bytes', or the path of a tokenizer.json or a "
      f'SentencePiece .model.{nearest(path.name, ["bytes"])}'
    )
  try:
    if not is_remote(path) and path.exists() and (no_file := local_files.kind(str(path))):  # opening a named pipe would block
      raise UserError(f'{path} is {no_file}: give the path of a tokenizer file.')
    with naming_outages(path):
      data = path.read_bytes()
    return kind(data, str(path), lossy)
  except FileNotFoundError:
    raise UserError(f"{path} does not exist: train it with `codemix tokenizer train`, or use 'bytes'.") from None
  except OSError as error:
    raise UserError(f'{path} cannot be read ({error.strerror}): give the path of a tokenizer file.') from None


class ByteTokenizer(Tokenizer):
  """Each byte is a token: ids 0, 1, 2 are pad, BOS, EOS, and byte b is id 3 + b."""

  kind = 'bytes'
  pad_id, bos_id, eos_id = range(len(SPECIAL_TOKENS))
  first_byte = len(SPECIAL_TOKENS)
  vocab_size = first_byte + BYTES
  digest = hashlib.sha256(b'pad=0 bos=1 eos=2 byte=3+b').hexdigest()

  def encode_batch(self, texts: Sequence[str | bytes]) -> list[list[int]]:
    arrays = (np.frombuffer(as_bytes(text), np.uint8) for text in texts)
    return [(array.astype(np.int32) + self.first_byte).tolist() for array in arrays]

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    values = np.asarray(ids, np.int64) - self.first_byte
    return values[(values >= 0) & (values < BYTES)].astype(np.uint8).tobytes()


class FileTokenizer(Tokenizer):
  """A tokenizer defined by the bytes of a file, which are pickled with it."""

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    """`name` is what error messages call the file."""
    self._definition, self._name, self._lossy = definition, name, lossy
    self.digest = hashlib.sha256(definition).hexdigest()

  @property
  def definition(self) -> bytes:
    """The bytes of the file."""
    return self._definition

  def __reduce__(self):
    # Pickled backends lose their settings, and the file may not exist on another machine.
    return type(self), (self._definition, self._name, self._lossy)

  def _set_changes(self, changes: Sequence[str], fix: str) -> None:
    """Raises UserError where the tokenizer changes text, unless it may (`lossy`)."""
    if changes and not self._lossy:
      raise UserError(
        f'{self._name} changes text: {"; ".join(changes)}. A model would be trained on text that differs from the corpus. {fix}, '
        'or set Data.allow_lossy_tokenizer = True to train on the changed text.'
      )
    self.changes = tuple(changes)
