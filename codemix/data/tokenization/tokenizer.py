"""Tokenizers: byte-level BPE, SentencePiece, and raw bytes, behind one interface.

A tokenizer turns text into ids and back, and adds neither BOS nor EOS. Text is
`str` or bytes, and the bytes need not be UTF-8. Text that spells a special
token ('<eos>') is ordinary text: documents cannot forge a document end.

The BPE file is an ordinary `tokenizer.json` of Hugging Face `tokenizers`. Two
things are done here rather than in the file. Bytes that are not UTF-8 get the
ids of the single bytes, since the library takes only text; and special tokens
are not looked for in text, a switch that the file format does not store.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from codemix.data.corpus import local_files
from codemix.data.tokenization import chunks, text_changes
from codemix.data.tokenization.text_bytes import BYTES, as_bytes, byte_alphabet, valid_and_damaged
from codemix.data.tokenization.tokenizer_files import parse_bpe, parse_sentencepiece
from codemix.errors import UserError, nearest
from codemix.files import write_bytes

SPECIAL_TOKENS = ('<pad>', '<bos>', '<eos>')  # ids 0, 1 and 2 of what is trained here

# How text is cut before merges are learnt: no token reaches over a cut. It follows the patterns of
# GPT-2 (Radford et al., 2019) and Llama 3 (Grattafiori et al., 2024); combining marks count as
# letters, so that no word is cut at one.
PRE_TOKENIZATION = '|'.join((
  r'[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+',  # a word with the space, dot or bracket before it
  r'\p{N}{1,3}',  # digits, three at most: numbers need no vocabulary of their own
  r' ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*',  # operators and punctuation with the line end: '):\n'
  r'\s*[\r\n]+',  # blank lines
  r'\s+(?!\S)',  # indentation, less the one space that goes to the word after it
  r'\s+',
))
# A merge seen once says nothing about other text.
MIN_MERGE_COUNT = 2
# Bytes. Longer tokens are rulers ('=====') and base64, of which a vocabulary can hold very many.
MAX_TOKEN_LENGTH = 32


class Tokenizer(Protocol):
  """Text to ids and back.

  Attributes:
    kind: 'bpe', 'sentencepiece' or 'bytes'.
    vocab_size: number of ids, special ids included.
    pad_id, bos_id, eos_id: the special ids; no text encodes to them.
    digest: sha256 of what defines the tokenizer (its file's bytes), 64 hex digits.
    changes: what it changes in text, by the components of its file; () where it gives all text back.
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
    ...

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    """The bytes that the ids stand for: those encoded, where the tokenizer `changes` nothing.

    Ids that stand for no text are dropped: the special ids, and those beyond the
    vocabulary, which a model has whose embedding table is padded.
    """
    ...

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
    lossy: whether it may change text; what it changes is then in `Tokenizer.changes`.

  Raises:
    UserError: no such file, a damaged one, one that is not a tokenizer, or one
      without the special tokens or that changes text (unless `lossy`).
  """
  if str(spec) == 'bytes':
    return ByteTokenizer()
  path = Path(spec)
  kind = {'.json': BpeTokenizer, '.model': SentencePieceTokenizer}.get(path.suffix)
  if kind is None:
    raise UserError(
      f"no tokenizer is called '{spec}': write 'bytes', or the path of a tokenizer.json or a "
      f'SentencePiece .model.{nearest(path.name, ["bytes"])}'
    )
  try:
    if path.exists() and (no_file := local_files.kind(str(path))):  # a named pipe would be waited for
      raise UserError(f'{path} is {no_file}: give the path of a tokenizer file.')
    return kind(path.read_bytes(), str(path), lossy)
  except FileNotFoundError:
    raise UserError(
      f"{path} does not exist: train it with `codemix tokenizer`, or use 'bytes'."
    ) from None
  except OSError as error:
    raise UserError(
      f'{path} cannot be read ({error.strerror}): give the path of a tokenizer file.'
    ) from None


def train_bpe(texts: Iterable[str | bytes], vocab_size: int, path: Path) -> Tokenizer:
  """Trains a byte-level BPE and writes its `tokenizer.json`, whole or not at all.

  The same texts in the same order give the same file, on any number of threads.

  Args:
    texts: documents; stretches that are not UTF-8 are left out of the training.
    vocab_size: number of ids: 3 special, 256 bytes, and the merges.
    path: where the file goes; it must end in `.json`.

  Raises:
    UserError: `vocab_size` is below 259, the texts give fewer entries than it asks
      for, or `path` is no place for the file.
  """
  from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
  from tokenizers import Tokenizer as Backend

  path = Path(path)
  if path.suffix != '.json':
    raise UserError(f"a BPE tokenizer is a .json file: rename '{path}' to '{path.stem}.json'.")
  smallest = BYTES + len(SPECIAL_TOKENS)
  if vocab_size < smallest:
    raise UserError(
      f'vocab_size={vocab_size} is too small for a byte-level BPE: {BYTES} bytes and '
      f'{len(SPECIAL_TOKENS)} special tokens need {smallest}. Ask for more, or use the tokenizer '
      "'bytes'."
    )
  backend = Backend(models.BPE())
  backend.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(PRE_TOKENIZATION), 'isolated'),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
  ])
  backend.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size,
    min_frequency=MIN_MERGE_COUNT,
    max_token_length=MAX_TOKEN_LENGTH,
    special_tokens=list(SPECIAL_TOKENS),
    initial_alphabet=sorted(byte_alphabet()),
    show_progress=False,
  )
  backend.train_from_iterator((valid for text in texts for valid in valid_and_damaged(text)[::2]), trainer)
  made = backend.get_vocab_size()
  if made < vocab_size:
    raise UserError(
      f'the texts give {made} entries, vocab_size={vocab_size} asks for {vocab_size - made} more: '
      f'train on more text, or set vocab_size={made} or less.'
    )
  definition = backend.to_str(pretty=True).encode()
  write_bytes(path, definition)
  return BpeTokenizer(definition, str(path))


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


class _FileTokenizer(Tokenizer):
  """A tokenizer defined by the bytes of a file, which travel with it to other processes."""

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    """`name` is what error messages call the file."""
    self._definition = definition
    self._name = name
    self._lossy = lossy
    self.digest = hashlib.sha256(definition).hexdigest()

  def __reduce__(self):
    # The backends forget their switches in a pickle, and the file may be on another machine.
    return type(self), (self._definition, self._name, self._lossy)

  def _set_changes(self, changes: Sequence[str], fix: str) -> None:
    """Raises UserError where the tokenizer changes text, unless it may (`lossy`)."""
    if changes and not self._lossy:
      raise UserError(
        f'{self._name} changes text: {"; ".join(changes)}. A model would be trained on other text than the corpus has. {fix}, '
        'or set Data.allow_lossy_tokenizer = True to train on the changed text.'
      )
    self.changes = tuple(changes)


class BpeTokenizer(_FileTokenizer):
  """A byte-level BPE in the `tokenizer.json` format of Hugging Face `tokenizers`.

  Args:
    definition: the file.
    name: what error messages call it.
    lossy: whether its components may change text.

  Raises:
    UserError: the file is damaged, is not a byte-level BPE, changes text (unless
      `lossy`), or lacks one of SPECIAL_TOKENS.
  """

  kind = 'bpe'

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    super().__init__(definition, name, lossy)
    self._backend = parse_bpe(definition, name)
    vocabulary = self._backend.get_vocab()
    components = json.loads(definition)
    if reasons := text_changes.why_not_byte_level(components):
      raise UserError(f'{name} is not a byte-level BPE: {"; ".join(reasons)}. Use another file, or train one with `codemix tokenizer train`.')
    self._set_changes(text_changes.of_tokenizer_json(components), 'Take that out of the file, use another')
    added = self._backend.get_added_tokens_decoder()
    special = {token.content: id for id, token in added.items() if token.special}
    if missing := [token for token in SPECIAL_TOKENS if token not in special]:
      raise UserError(
        f'{name} lacks the special tokens {", ".join(missing)}: rename its own to these (in '
        f'added_tokens and in vocab; it has {", ".join(special) or "none"}), or train a tokenizer with `codemix tokenizer train`.'
      )
    self.pad_id, self.bos_id, self.eos_id = (special[token] for token in SPECIAL_TOKENS)
    self.vocab_size = max(vocabulary.values()) + 1
    alphabet = byte_alphabet()
    self._byte_ids = {byte: vocabulary.get(character) for character, byte in alphabet.items()}
    self._bytes_of = {
      id: bytes(map(alphabet.get, token))
      for token, id in vocabulary.items()
      if id not in added and alphabet.keys() >= set(token)
    }
    self._bytes_of |= {
      id: token.content.encode() for id, token in added.items() if not token.special
    }
    self._divides = chunks.may_divide(components, PRE_TOKENIZATION)
    self._check_vocabulary(components['model'], added)
    self._check_special_tokens_are_text(special)
    if not self.changes:
      self._check_gives_text_back()

  def encode_batch(self, texts: Sequence[str | bytes]) -> list[list[int]]:
    pieces_of_texts = [valid_and_damaged(text) for text in texts]
    parts_of_valid = [
      chunks.divide(piece) if self._divides else [piece] for pieces in pieces_of_texts for piece in pieces[::2]
    ]
    ids_of_parts = self._ids(part for parts in parts_of_valid for part in parts)
    ids_of_valid = (
      next(ids_of_parts) if len(parts) == 1 else list(itertools.chain.from_iterable(itertools.islice(ids_of_parts, len(parts))))
      for parts in parts_of_valid
    )
    return [self._joined(pieces[1::2], ids_of_valid) for pieces in pieces_of_texts]

  def _ids(self, parts: Iterable[str]) -> Iterator[list[int]]:
    """The ids of each part, in bounded memory beside them."""
    for group in chunks.groups(parts):
      # Also for one text: `encode` would hold the GIL, and keep offsets that nobody reads.
      for encoding in self._backend.encode_batch_fast(group, add_special_tokens=False):
        yield encoding.ids

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    return b''.join([self._bytes_of.get(id, b'') for id in ids])

  def _joined(self, damaged_pieces: list[str], ids_of_valid: Iterator[list[int]]) -> list[int]:
    """The ids of one text: a valid piece, then each damaged one with the valid one behind it."""
    ids = next(ids_of_valid)
    for piece in damaged_pieces:
      ids += map(self._byte_ids.get, piece.encode('utf-8', 'surrogateescape'))
      ids += next(ids_of_valid)
    return ids

  def _check_vocabulary(self, model: dict, added: dict) -> None:
    """Raises UserError where an id stands for two entries, or a byte has none."""
    if lacking := [byte for byte, id in self._byte_ids.items() if id is None]:
      raise UserError(
        f'{self._name} is not a byte-level BPE: its vocabulary lacks {len(lacking)} of the {BYTES} bytes, the first 0x{lacking[0]:02x}. '
        'Use another file, or train one with `codemix tokenizer train`.'
      )
    entries: dict[int, str] = {}
    for token, id in [*model['vocab'].items(), *((token.content, id) for id, token in added.items())]:
      if entries.setdefault(id, token) != token:
        raise UserError(f'{self._name} gives the id {id} to two entries, {entries[id]!r} and {token!r}: give each its own.')

  def _check_special_tokens_are_text(self, special: dict[str, int]) -> None:
    """Raises UserError where merges make a special token of text that spells it."""
    for token in special:
      for text in (token, f' {token} ', f'\n{token}\n'):
        if forged := set(special.values()) & set(self.encode(text)):
          raise UserError(
            f'{self._name} makes the special id {forged.pop()} of the text {text!r}, so that a document could end another: take '
            "the merges that make its token out of the file, or its entry out of the model's vocab."
          )

  def _check_gives_text_back(self) -> None:
    """What the components say holds for a text with all bytes and much white space."""
    text = ' x  e\u0301\u212b\n\t\u3000Y' + ''.join(SPECIAL_TOKENS)
    probe = bytes(range(BYTES)) + text.encode()
    if self.decode_bytes(self.encode(probe)) != probe:
      raise UserError(
        f'{self._name} does not give text back byte for byte, though nothing in it says so: use another file, or '
        'train one with `codemix tokenizer train`.'
      )


class SentencePieceTokenizer(_FileTokenizer):
  """A SentencePiece `.model`. U+2581, with which it writes a space, comes back as one.

  Args:
    definition: the file.
    name: what error messages call it.
    lossy: whether it may change other text, as models do that are trained by default.

  Raises:
    UserError: the file is damaged, is not a SentencePiece model, changes text
      (unless `lossy`), or has no id for padding, BOS or EOS.
  """

  kind = 'sentencepiece'

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    super().__init__(definition, name, lossy)
    self._backend, model = parse_sentencepiece(definition, name)
    self.vocab_size = self._backend.vocab_size()
    self.pad_id, self.bos_id, self.eos_id = ids = (
      self._backend.pad_id(), self._backend.bos_id(), self._backend.eos_id()
    )
    if min(ids) < 0:
      raise UserError(
        f'{name} has no id for padding, BOS or EOS (it says {ids}): train it with '
        '--pad_id=0 --bos_id=1 --eos_id=2 --unk_id=3.'
      )
    self._set_changes(
      text_changes.of_sentencepiece(model),
      'Train it with --normalization_rule_name=identity --remove_extra_whitespaces=false --byte_fallback=true',
    )

  def encode_batch(self, texts: Sequence[str | bytes]) -> list[list[int]]:
    return self._backend.encode([as_bytes(text).decode(errors='replace') for text in texts])

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    # The backend drops special ids too, but one between the byte pieces of a character breaks it.
    special = {self.pad_id, self.bos_id, self.eos_id}
    spoken = [int(id) for id in ids if 0 <= id < self.vocab_size and id not in special]
    return self._backend.decode(spoken).encode()
