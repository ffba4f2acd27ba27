"""The tokenizer that a SentencePiece `.model` defines."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from codemix.data.tokenization import text_changes
from codemix.data.tokenization.text_bytes import as_bytes
from codemix.data.tokenization.tokenizer import FileTokenizer
from codemix.errors import UserError


class SentencePieceTokenizer(FileTokenizer):
  """A SentencePiece `.model`. U+2581, its symbol for a space, decodes to a space.

  Args:
    lossy: whether it may change other text, as models trained with the default options do.

  Raises UserError: the file is damaged, is not a SentencePiece model, changes text (unless
  `lossy`), or has no id for padding, BOS or EOS.
  """

  kind = 'sentencepiece'

  def __init__(self, definition: bytes, name: str, lossy: bool = False):
    super().__init__(definition, name, lossy)
    self._backend, model = _parse(definition, name)
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
    # The backend drops special ids too, but one between the byte pieces of a character would break it.
    special = {self.pad_id, self.bos_id, self.eos_id}
    spoken = [int(id) for id in ids if 0 <= id < self.vocab_size and id not in special]
    return self._backend.decode(spoken).encode()


def _parse(definition: bytes, name: str):
  """The `SentencePieceProcessor` and the `ModelProto` of a whole `.model`."""
  from sentencepiece import SentencePieceProcessor
  from sentencepiece.sentencepiece_model_pb2 import ModelProto

  backend = SentencePieceProcessor()
  with contextlib.suppress(RuntimeError, UnicodeDecodeError):
    backend.LoadFromSerializedProto(definition)
    # The backend accepts a file that is cut off between two parts; the normalizer is the last needed.
    model = ModelProto.FromString(definition)
    # The backend takes any bytes for a text, and fails when it decodes them; protobuf gives what is not UTF-8 as bytes.
    texts = [model.trainer_spec.unk_surface, *(piece.piece for piece in model.pieces)]
    if model.HasField('normalizer_spec') and all(isinstance(text, str) for text in texts):
      return backend, model
  raise UserError(
    f'{name} is not a SentencePiece model, or a damaged one: copy it or train it again.'
  )
