"""A SentencePiece model of merges as the components of a `tokenizer.json`.

A model of the type `unigram` is not written: its counterpart in `tokenizers` also finds the names of bytes
and special tokens ('<0x41>', '</s>') in text, which SentencePiece takes for ordinary text.
"""

from __future__ import annotations

from typing import Any

from codemix.errors import UserError

SPACE = '\u2581'


def sentencepiece_components(definition: bytes) -> dict[str, Any]:
  """The `tokenizer.json`, without a post-processor, that gives the ids of a SentencePiece model.

  SentencePiece joins the two neighbours whose piece has the highest score, so each way to put a piece
  together from two others is a merge, in the order of scores.

  Raises UserError: the model does what a `tokenizer.json` cannot say.

  Args:
    definition: the bytes of the `.model`.
  """
  from sentencepiece.sentencepiece_model_pb2 import ModelProto

  model = ModelProto.FromString(definition)
  if reasons := _why_not(model):
    raise UserError(
      f'the SentencePiece tokenizer of this stage cannot be written as a tokenizer.json that gives the same ids to every text: {"; ".join(reasons)}. '
      'Export with --without_tokenizer, and give the .model file along.'
    )
  kinds = ModelProto.SentencePiece
  vocabulary = {piece.piece: id for id, piece in enumerate(model.pieces)}
  scores = {piece.piece: piece.score for piece in model.pieces if piece.type == kinds.NORMAL}
  merges = [
    (left, right)
    for piece in sorted(scores, key=lambda piece: (-scores[piece], vocabulary[piece]))
    for left, right in ((piece[:n], piece[n:]) for n in range(1, len(piece)))
    if left in scores and right in scores
  ]
  space = {'type': 'Replace', 'pattern': {'String': ' '}, 'content': SPACE}
  prefix = model.normalizer_spec.add_dummy_prefix
  return {
    'version': '1.0',
    'added_tokens': [
      {'id': id, 'content': piece.piece, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
      for id, piece in enumerate(model.pieces)
      if piece.type in (kinds.CONTROL, kinds.UNKNOWN)
    ],
    'normalizer': {'type': 'Sequence', 'normalizers': [*([{'type': 'Prepend', 'prepend': SPACE}] if prefix else []), space]},
    'pre_tokenizer': None,
    'decoder': {
      'type': 'Sequence',
      'decoders': [
        {'type': 'Replace', 'pattern': {'String': SPACE}, 'content': ' '},
        {'type': 'ByteFallback'},
        {'type': 'Fuse'},
        *([{'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}] if prefix else []),
      ],
    },
    'model': {
      'type': 'BPE', 'dropout': None, 'unk_token': next(piece.piece for piece in model.pieces if piece.type == kinds.UNKNOWN),
      'continuing_subword_prefix': None, 'end_of_word_suffix': None, 'fuse_unk': True, 'byte_fallback': True, 'ignore_merges': False,
      'vocab': vocabulary, 'merges': [list(merge) for merge in merges],
    },
  }  # fmt: skip


def _why_not(model: Any) -> list[str]:
  from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

  kinds, normalizer, trainer = ModelProto.SentencePiece, model.normalizer_spec, model.trainer_spec
  normal = {piece.piece for piece in model.pieces if piece.type == kinds.NORMAL}
  types = {piece.type for piece in model.pieces}
  return [
    reason
    for reason, holds in (
      (f'its type is {TrainerSpec.ModelType.Name(trainer.model_type).lower()}, not bpe', trainer.model_type != TrainerSpec.BPE),
      ('it replaces characters', normalizer.precompiled_charsmap),
      ('it removes white space', normalizer.remove_extra_whitespaces),
      ('it does not write spaces as U+2581', not normalizer.escape_whitespaces),
      ('it puts a space behind words', trainer.treat_whitespace_as_suffix),
      ('it has no pieces for bytes', not trainer.byte_fallback),
      ('it has user-defined or unused pieces', types & {kinds.USER_DEFINED, kinds.UNUSED}),
      ('some characters occur in pieces only', not {character for piece in normal for character in piece} <= normal),
    )
    if holds
  ]
