"""Finished stages with random parameters, as training leaves them, and models that codemix exports."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import jax
import numpy as np

import codemix
from codemix.checkpoints import Checkpoints
from codemix.data.settings import tokenizer_identity
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.huggingface.tensors import Params
from codemix.identity import digest
from codemix.models import decoder
from codemix.storage import write_json
from codemix.studies.load_stage import keep_tokenizer
from codemix.training.optimizer import Optimizer
from tests import tiny_study

SMALL = {'vocab_size': 259, 'layers': 2, 'width': 24, 'ffn_width': 40, 'heads': 4, 'head_dim': 6, 'kv_heads': 2, 'dtype': 'float32'}
LLAMA = {'block': 'serial', 'norm': 'rmsnorm'}

# Every class, with grouped queries, head sizes of 6 and 10, and what a default of transformers would decide otherwise.
FORMS = {
  'cohere': {},
  'cohere untied': {'tied': False, 'rope_theta': 500_000.0, 'logit_scale': 0.25, 'norm_epsilon': 1e-3},
  'cohere normed': {'qk_norm': True, 'head_dim': 10},
  'llama': LLAMA,
  'llama untied': {**LLAMA, 'tied': False, 'rope_theta': 500_000.0, 'head_dim': 10, 'norm_epsilon': 1e-3},
  'llama scaled': {**LLAMA, 'logit_scale': 0.3, 'kv_heads': 1},
  'qwen3': {**LLAMA, 'qk_norm': True, 'head_dim': 10, 'tied': False},
}


def config_of(form: str, **settings) -> codemix.ModelConfig:
  return codemix.ModelConfig(**{**SMALL, **FORMS[form], **settings})


def random_params(config: codemix.ModelConfig, seed: int = 0, factor: float = 1.5) -> Params:
  """Parameters unlike the initial ones: scales are not 1; those of heads are equal where their class has one for all."""
  rng = np.random.default_rng(seed)
  params = jax.tree.map(np.asarray, decoder.init_params(config, seed))
  params = jax.tree.map(lambda a: (factor * rng.uniform(0.5, 1.5, a.shape) * a).astype(np.float32), params)
  if config.qk_norm and config.block == 'serial':
    for name in ('query_norm', 'key_norm'):
      scale_NxHxK = params['layers']['attention'][name]['scale']
      params['layers']['attention'][name]['scale'] = np.repeat(scale_NxHxK[:, :1], scale_NxHxK.shape[1], 1)
  return params


def write_stage(
  output: Path, config: codemix.ModelConfig, params: Params, tokenizer: str | Path = 'bytes', length: int = 32, lossy: bool = False
) -> Path:
  """A finished stage in `output`; returns its folder."""
  loaded: Tokenizer = load_tokenizer(tokenizer, lossy)
  identity = {
    'parent': None,
    'model': config.identity(),
    'tokenizer': tokenizer_identity(loaded),
    'length': length,
    'optimizer': Optimizer().identity(),
  }
  folder = output / 'stages' / f'pretrain-{digest(identity)[:12]}'
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.save(7, {'params': params}, {})
    checkpoints.wait()
    checkpoint = checkpoints.digest(7)
  write_json(folder / 'done.json', {'step': 7, 'checkpoint': checkpoint, 'ledger': ''})
  write_json(folder / 'stage.json', {'name': 'pretrain', 'hash': digest(identity), 'parent': None, 'identity': identity})
  if tokenizer != 'bytes':
    keep_tokenizer(output, loaded, Path(tokenizer))
  return folder


def train_sentencepiece(path: Path, **settings) -> int:
  """Writes a model that preserves text; returns its number of ids."""
  from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

  model = io.BytesIO()
  texts = [text.decode() for name in ('text', 'code') for text in tiny_study.documents(name, 40, 60, 0)]
  SentencePieceTrainer.Train(**{
    'sentence_iterator': iter([*texts, 'Äpfel 漢字  aabababa 123\t']), 'model_writer': model, 'vocab_size': 400,
    'pad_id': 0, 'bos_id': 1, 'eos_id': 2, 'unk_id': 3, 'normalization_rule_name': 'identity', 'remove_extra_whitespaces': False,
    'byte_fallback': True, 'minloglevel': 2, 'hard_vocab_limit': False, 'character_coverage': 1.0, 'model_type': 'bpe', **settings,
  })  # fmt: skip
  path.write_bytes(model.getvalue())
  return SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
