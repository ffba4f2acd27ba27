"""Which components of a tokenizer's file change text.

A tokenizer that drops the indentation of code, or composes accents, trains on another text than the
one whose bytes are counted. No example text can prove that a file keeps all text, so its
normalizers, pre-tokenizers, added tokens and model are examined.
"""

from __future__ import annotations

from collections.abc import Mapping

BYTE_LEVEL = 'ByteLevel'
_CUTS = frozenset(('Digits', 'FixedLength'))  # pre-tokenizers that only say where to cut
_CUTS_UNLESS_REMOVED = frozenset(('Split', 'Punctuation'))


def why_not_byte_level(definition: Mapping) -> list[str]:
  """Why a `tokenizer.json`, parsed, is not a deterministic byte-level BPE; [] where it is."""
  model = definition['model']
  reasons = []
  if (kind := model.get('type', 'BPE')) != 'BPE':
    return [f'its model is {kind}']
  steps = [*_steps(definition.get('normalizer')), *_steps(definition.get('pre_tokenizer'))]
  if BYTE_LEVEL not in [step['type'] for step in steps]:
    reasons.append(f'nothing in it is {BYTE_LEVEL}, so that characters outside of its vocabulary are lost')
  if dropout := model.get('dropout'):
    reasons.append(f'its model drops merges at random (dropout {dropout:g})')
  for affix in ('continuing_subword_prefix', 'end_of_word_suffix'):
    if model.get(affix):
      reasons.append(f'its model has a {affix} ({model[affix]!r})')
  strange = [step['type'] for step in _steps(definition.get('decoder')) if step['type'] not in (BYTE_LEVEL, 'Fuse')]
  if strange:
    reasons.append(f'its decoder is {strange[0]} and not {BYTE_LEVEL}')
  return reasons


def of_tokenizer_json(definition: Mapping) -> list[str]:
  """What the components of a `tokenizer.json` change in text; [] where all text is preserved.

  Truncation, padding and post-processors are not among them: `codemix.data.tokenization.tokenizer` disables them.
  """
  return [
    *(f'the normalizer {_described(step)}' for step in _steps(definition.get('normalizer')) if step['type'] != BYTE_LEVEL),
    *(f'the pre-tokenizer {_described(step)}' for step in _steps(definition.get('pre_tokenizer')) if not _keeps_text(step)),
    *(
      f'the added token {token["content"]!r} with {side} (it takes the white space beside it)'
      for token in definition.get('added_tokens') or []
      for side in ('lstrip', 'rstrip')
      if token.get(side) and not token.get('special')  # those are not looked for in text
    ),
  ]


def _steps(component: Mapping | None) -> list[Mapping]:
  if not component:
    return []
  if component['type'] != 'Sequence':
    return [component]
  inner = next((component[key] for key in ('normalizers', 'pretokenizers', 'decoders', 'processors') if key in component), [])
  return [step for part in inner for step in _steps(part)]


def _keeps_text(step: Mapping) -> bool:
  if step['type'] == BYTE_LEVEL:
    return not step.get('add_prefix_space', True)
  if step['type'] in _CUTS_UNLESS_REMOVED:
    return step.get('behavior') != 'Removed'
  return step['type'] in _CUTS


def _described(step: Mapping) -> str:
  """'NFC', 'Replace (pattern={'String': 'a'}, content='b')'."""
  arguments = ', '.join(f'{name}={value!r}' for name, value in step.items() if name != 'type')
  arguments = arguments if len(arguments) <= 80 else f'{arguments[:77]}...'
  return f'{step["type"]} ({arguments})' if arguments else step['type']


def of_sentencepiece(model) -> list[str]:
  """What a SentencePiece `ModelProto` changes in text; [] where all text is preserved.

  U+2581 is not counted: every SentencePiece model uses it for a space.
  """
  normalizer, trainer = model.normalizer_spec, model.trainer_spec
  return [
    reason
    for reason, holds in (
      (f'normalization_rule_name={normalizer.name or "user_defined"} (it replaces characters)', normalizer.precompiled_charsmap),
      ('remove_extra_whitespaces=true (it drops indentation and repeated spaces)', normalizer.remove_extra_whitespaces),
      ('byte_fallback=false (what is not in its vocabulary becomes <unk>)', not trainer.byte_fallback),
      ('denormalization rules', model.denormalizer_spec.precompiled_charsmap),
      (
        'treat_whitespace_as_suffix=true with add_dummy_prefix=true (a space comes to the end)',
        trainer.treat_whitespace_as_suffix and normalizer.add_dummy_prefix,
      ),
    )
    if holds
  ]
