"""The SentencePiece model in a folder of transformers, as those of Llama 2 and Mistral have it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.storage import write_bytes

MODEL = 'tokenizer.model'


def import_sentencepiece(folder: Path, out: Path, named: Mapping[str, str]) -> tuple[Tokenizer, list[str]]:
  """Writes `tokenizer.model` into `out`; gives it its EOS as padding if it has none.

  Raises UserError: the file is damaged, has no BOS or EOS, or other ones than the folder names.

  Args:
    named: the texts of 'bos' and 'eos' by `tokenizer_config.json`.

  Returns: the tokenizer, and what was decided, in words.
  """
  from google.protobuf.message import DecodeError
  from sentencepiece.sentencepiece_model_pb2 import ModelProto

  path = folder / MODEL
  definition, notes = path.read_bytes(), []
  try:
    model = ModelProto.FromString(definition)
  except DecodeError:
    raise UserError(f'{path} is not a SentencePiece model, or a damaged one. Download it again.') from None
  trainer = model.trainer_spec
  for role, piece in (('bos', trainer.bos_piece), ('eos', trainer.eos_piece)):
    if named.get(role, piece) != piece:
      raise UserError(f"{folder} names {named[role]!r} as its {role}_token, and {MODEL} has {piece!r}: correct the name, or use a tokenizer.json of bytes.")
  control = {piece.piece for piece in model.pieces if piece.type == ModelProto.SentencePiece.CONTROL}
  if trainer.pad_piece not in control and trainer.eos_piece in control:
    notes.append(f'the model has no padding token: its EOS, {trainer.eos_piece!r}, fills rows, and no loss counts it.')
    trainer.pad_piece = trainer.eos_piece
    definition = model.SerializeToString(deterministic=True)
  write_bytes(out / MODEL, definition)
  try:
    return load_tokenizer(out / MODEL, lossy=True), notes
  except UserError as error:
    raise UserError(str(error).replace(str(out / MODEL), str(path))) from None
