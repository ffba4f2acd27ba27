"""A tokenizer of codemix as files that AutoTokenizer opens, with the same ids.

As in training, text that spells a special token is text, BOS stands before it and no EOS behind it.
`tokenizer.json` cannot say the first: `split_special_tokens` of `tokenizer_config.json` does.
"""

from __future__ import annotations

import json
from typing import Any

from codemix.data.tokenization.declared import split_roles
from codemix.data.tokenization.text_bytes import byte_alphabet
from codemix.data.tokenization.tokenizer import (
  SPECIAL_TOKENS,
  ByteTokenizer,
  FileTokenizer,
  Tokenizer,
)
from codemix.errors import UserError
from codemix.huggingface.sentencepiece_export import sentencepiece_components

TOKENIZER = 'tokenizer.json'
TOKENIZER_CONFIG = 'tokenizer_config.json'


def tokenizer_files(tokenizer: Tokenizer, length: int) -> dict[str, dict[str, Any]]:
  """The two files by name, as JSON.

  Raises UserError: the format cannot say what this kind of tokenizer does.

  Args:
    length: tokens of a row, the most that the model was trained on.
  """
  components = _components(tokenizer)
  names = {token['id']: token['content'] for token in components['added_tokens']}
  bos = names[tokenizer.bos_id]
  components |= {'truncation': None, 'padding': None, 'post_processor': _bos_before(bos, tokenizer.bos_id)}
  config = {
    'tokenizer_class': 'PreTrainedTokenizerFast',
    'bos_token': bos,
    'eos_token': names[tokenizer.eos_id],
    'pad_token': names[tokenizer.pad_id],
    'split_special_tokens': True,
    'clean_up_tokenization_spaces': False,
    'model_max_length': length,
    'padding_side': 'left',
  }
  return {TOKENIZER: components, TOKENIZER_CONFIG: config}


def _components(tokenizer: Tokenizer) -> dict[str, Any]:
  if tokenizer.kind == 'bytes':
    return byte_components()
  if tokenizer.kind == 'bpe' and isinstance(tokenizer, FileTokenizer):
    return json.loads(split_roles(tokenizer.definition, 'the tokenizer')[0])
  if tokenizer.kind == 'sentencepiece' and isinstance(tokenizer, FileTokenizer):
    return sentencepiece_components(tokenizer.definition)
  raise UserError(f'the tokenizer of this stage is of the kind {tokenizer.kind}, which has no tokenizer.json: export with --without_tokenizer.')


def byte_components() -> dict[str, Any]:
  """The tokenizer 'bytes' as a byte-level BPE without merges."""
  characters = sorted(byte_alphabet().items(), key=lambda item: item[1])
  vocabulary = {token: id for id, token in enumerate(SPECIAL_TOKENS)}
  vocabulary |= {character: ByteTokenizer.first_byte + byte for character, byte in characters}
  return {
    'version': '1.0',
    'truncation': None,
    'padding': None,
    'added_tokens': [
      {'id': id, 'content': token, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
      for id, token in enumerate(SPECIAL_TOKENS)
    ],
    'normalizer': None,
    'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': False},
    'post_processor': None,
    'decoder': {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True, 'use_regex': True},
    'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'vocab': vocabulary, 'merges': []},
  }


def _bos_before(bos: str, bos_id: int) -> dict[str, Any]:
  """The post-processor that puts BOS before a text, and before a second one."""
  special = {'SpecialToken': {'id': bos, 'type_id': 0}}
  first, second = ({'Sequence': {'id': name, 'type_id': 0}} for name in 'AB')
  return {
    'type': 'TemplateProcessing',
    'single': [special, first],
    'pair': [special, first, special, second],
    'special_tokens': {bos: {'id': bos, 'ids': [bos_id], 'tokens': [bos]}},
  }
