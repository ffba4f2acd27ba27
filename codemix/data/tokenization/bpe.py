"""Byte-level BPE: training one, and the tokenizer that a `tokenizer.json` of Hugging Face `tokenizers` defines.

Two things are done here rather than in the file. Bytes that are not UTF-8 get
the ids of the single bytes, since the library takes only text; and special
tokens are not looked for in text, a switch that the file format does not store.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from codemix.data.tokenization import chunks, text_changes
from codemix.data.tokenization.declared import Roles, split_roles
from codemix.data.tokenization.text_bytes import BYTES, byte_alphabet, valid_and_damaged
from codemix.data.tokenization.tokenizer import SPECIAL_TOKENS, FileTokenizer, Tokenizer
from codemix.errors import UserError
from codemix.storage import as_path, write_bytes

# How text is cut before merges are learnt; no token crosses a cut. It follows the patterns of
# GPT-2 (Radford et al., 2019) and Llama 3 (Grattafiori et al., 2024); combining marks count as
# letters, so that no word is cut at one.
PRE_TOKENIZATION = '|'.join((
  r'[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+',  # a word with the space, dot or bracket before it
  r'\p{N}{1,3}',  # at most three digits: numbers need no entries of their own
  r' ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*',  # operators and punctuation with the line end: '):\n'
  r'\s*[\r\n]+',  # blank lines
  r'\s+(?!\S)',  # indentation, less the one space that goes to the word after it
  r'\s+',
))
# A merge that occurs once does not generalise.
MIN_MERGE_COUNT = 2
# Bytes. Longer tokens are rulers ('=====') and base64, which would fill the vocabulary.
MAX_TOKEN_LENGTH = 32


def train_bpe(texts: Iterable[str | bytes], vocab_size: int, path: Path) -> Tokenizer:
  """Trains a byte-level BPE and writes its `tokenizer.json`, whole or not at all.

  The same texts in the same order give the same file, on any number of threads.

  Args:
    texts: documents; parts that are not UTF-8 are left out.
    vocab_size: number of ids: 3 special, 256 bytes, and the merges.
    path: where the file goes; it must end in `.json`.

  Raises UserError: `vocab_size` is below 259 or more than the texts have entries, or `path` cannot
  be written.
  """
  from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
  from tokenizers import Tokenizer as Backend

  path = as_path(path)
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


class BpeTokenizer(FileTokenizer):
  """A byte-level BPE in the `tokenizer.json` format of Hugging Face; `lossy` may change text.

  Its padding, BOS and EOS are SPECIAL_TOKENS, or those that the file declares (`codemix.data.tokenization.declared`).

  Raises UserError: the file is damaged, is not a byte-level BPE, changes text (unless `lossy`), or
  lacks its padding, BOS or EOS.
  """

  kind = 'bpe'

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    super().__init__(definition, name, lossy)
    plain, declared = split_roles(definition, name)
    self._backend, components = _parse(plain, name)
    vocabulary = self._backend.get_vocab()
    if reasons := text_changes.why_not_byte_level(components):
      raise UserError(f'{name} is not a byte-level BPE: {"; ".join(reasons)}. Use another file, or train one with `codemix tokenizer train`.')
    self._set_changes(text_changes.of_tokenizer_json(components), 'Take that out of the file, use another')
    added = self._backend.get_added_tokens_decoder()
    special = {token.content: id for id, token in added.items() if token.special}
    self.pad_id, self.bos_id, self.eos_id = declared or self._by_name(special)
    if lost := {self.pad_id, self.bos_id, self.eos_id} - set(special.values()):
      raise UserError(f'{name} is damaged: it declares the special id {min(lost)}, which is not that of a special token in added_tokens. Import it again.')
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

  def _by_name(self, special: dict[str, int]) -> Roles:
    """The ids of SPECIAL_TOKENS. Raises UserError if one is missing."""
    if missing := [token for token in SPECIAL_TOKENS if token not in special]:
      raise UserError(
        f'{self._name} lacks the special tokens {", ".join(missing)}: rename its own to these (in '
        f'added_tokens and in vocab; it has {", ".join(special) or "none"}), import it with its model (`codemix import`), '
        'or train a tokenizer with `codemix tokenizer train`.'
      )
    return Roles(*(special[token] for token in SPECIAL_TOKENS))

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
    """The ids of each part, encoded a group at a time."""
    for group in chunks.groups(parts):
      # For one text too: `encode` would hold the GIL, and compute offsets that are not used.
      for encoding in self._backend.encode_batch_fast(group, add_special_tokens=False):
        yield encoding.ids

  def decode_bytes(self, ids: Sequence[int]) -> bytes:
    return b''.join([self._bytes_of.get(id, b'') for id in ids])

  def _joined(self, damaged_pieces: list[str], ids_of_valid: Iterator[list[int]]) -> list[int]:
    """The ids of one text: a valid piece, then each damaged one with the valid one after it."""
    ids = next(ids_of_valid)
    for piece in damaged_pieces:
      ids += map(self._byte_ids.get, piece.encode('utf-8', 'surrogateescape'))
      ids += next(ids_of_valid)
    return ids

  def _check_vocabulary(self, model: dict, added: dict) -> None:
    """Raises UserError where two entries have one id, or a byte has no entry."""
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
            f'{self._name} makes the special id {forged.pop()} of the text {text!r}, so a document could contain the end of a document: take '
            "the merges that make its token out of the file, or its entry out of the model's vocab."
          )

  def _check_gives_text_back(self) -> None:
    """Raises UserError where a text with all bytes and much white space does not round-trip."""
    text = ' x  e\u0301\u212b\n\t\u3000Y' + ''.join(SPECIAL_TOKENS)
    probe = bytes(range(BYTES)) + text.encode()
    if self.decode_bytes(self.encode(probe)) != probe:
      raise UserError(
        f'{self._name} does not give text back byte for byte, though nothing in it says so: use another file, or '
        'train one with `codemix tokenizer train`.'
      )


def _parse(definition: bytes, name: str):
  """The `tokenizers.Tokenizer` of a `tokenizer.json`, set to read all text as text, and whole; and the file, parsed."""
  from tokenizers import Tokenizer as Backend

  try:
    components = json.loads(definition)  # Python and the library do not refuse the same files
    backend = Backend.from_buffer(definition)
  except BaseException as error:
    # A Rust panic, on vocabularies that do not fit their merges, is not an Exception and has no class to import.
    if not isinstance(error, ValueError | RecursionError) and type(error).__name__ != 'PanicException':
      raise
    said = ' '.join(str(error).split())[:200]  # the library may repeat the file
    raise UserError(
      f'{name} is not a tokenizer.json of Hugging Face tokenizers, or a damaged one ({said}): '
      'copy it or train it again.'
    ) from None
  backend.encode_special_tokens = True
  backend.no_truncation()
  backend.no_padding()
  return backend, components
