"""Opens the files of tokenizers with the libraries that define their formats."""

from __future__ import annotations

import contextlib

from codemix.errors import UserError


def parse_sentencepiece(definition: bytes, name: str):
  """The `SentencePieceProcessor` and the `ModelProto` of a whole `.model`."""
  from sentencepiece import SentencePieceProcessor
  from sentencepiece.sentencepiece_model_pb2 import ModelProto

  backend = SentencePieceProcessor()
  with contextlib.suppress(RuntimeError):
    backend.LoadFromSerializedProto(definition)
    # The backend also takes a file cut off between two parts; the normalizer is the last needed.
    model = ModelProto.FromString(definition)
    if model.HasField('normalizer_spec'):
      return backend, model
  raise UserError(
    f'{name} is not a SentencePiece model, or a damaged one: copy it or train it again.'
  )


def parse_bpe(definition: bytes, name: str):
  """The `tokenizers.Tokenizer` of a `tokenizer.json`, set to read all text as text, and whole."""
  from tokenizers import Tokenizer as Backend

  try:
    backend = Backend.from_buffer(definition)
  except BaseException as error:
    # A panic in Rust, on vocabularies that do not fit their merges, is not an Exception and has no class to import.
    if not isinstance(error, ValueError) and type(error).__name__ != 'PanicException':
      raise
    raise UserError(
      f'{name} is not a tokenizer.json of Hugging Face tokenizers, or a damaged one ({error}): '
      'copy it or train it again.'
    ) from None
  backend.encode_special_tokens = True
  backend.no_truncation()
  backend.no_padding()
  return backend
