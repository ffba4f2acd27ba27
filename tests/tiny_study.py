"""A study that trains in seconds: byte tokens of made-up text and code, prepared without SeqIO."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import codemix
from codemix.data.settings import Data, tokenizer_identity
from codemix.data.store import token_store
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import load_tokenizer

MODEL = codemix.ModelConfig(
  vocab_size=259, layers=2, width=16, ffn_width=32, heads=2, head_dim=8, dtype='float32'
)
LENGTH, BATCH = 32, 8
Documents = Sequence[tuple[np.ndarray, int]]  # token ids with EOS, and bytes before tokenization
WORDS = {
  'text': ('the', 'model', 'reads', 'a', 'long', 'story', 'of', 'rain', 'and', 'stone'),
  'code': ('def', 'return', 'x', '=', '+', '(', ')', ':', 'for', 'in', 'range'),
}


def documents(name: str, words: int, count: int, seed: int) -> list[bytes]:
  """`count` documents of about `words` words each."""
  rng = random.Random(f'{name}{seed}')
  return [
    ' '.join(rng.choices(WORDS[name], k=rng.randint(words // 2, 2 * words))).encode()
    for _ in range(count)
  ]


def write_store(data: Data, name: str, split: str, documents: Documents) -> TokenStore:
  """A store of these documents, where `codemix prepare` would have put it."""
  tokenizer = load_tokenizer(data.tokenizer)
  folder = data.root / 'stores' / f'{name}-{split}-test'
  dtype = token_store.token_dtype(tokenizer.vocab_size)
  token_store.write_shard(folder, 'only', documents, dtype)
  identity = {'task': name, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)}
  store = token_store.write_manifest(folder, identity, ['only'], dtype)
  data.point_to(store, name, split, tokenizer)
  return store


def prepare(root: Path, *, text_words: int = 12, code_words: int = 240, bytes_each: int = 60_000) -> Data:
  """Stores of text and code whose documents differ in length, as `codemix prepare` writes them."""
  data = Data(directory=str(root), tokenizer='bytes')
  tokenizer = load_tokenizer('bytes')
  for name, words in (('text', text_words), ('code', code_words)):
    for split, size in (('train', bytes_each), ('validation', bytes_each // 12)):
      texts = documents(name, words, max(size // (6 * words), 3), seed=split == 'train')
      rows = [(np.append(tokenizer.encode(text), tokenizer.eos_id), len(text)) for text in texts]
      write_store(data, name, split, rows)
  return data


def stage(name: str, mixture: dict, steps: int, **settings) -> codemix.Stage:
  settings = {
    'batch': BATCH,
    'schedule': codemix.WarmupCosine(peak=1e-2, warmup_steps=2, floor=1e-3),
    'handoff': codemix.Handoff(optimizer='restart', rate='restart'),
    **settings,
  }
  return codemix.Stage(name=name, mixture=mixture, tokens=steps * settings['batch'] * LENGTH, **settings)


def cooldown(mixture: dict, steps: int, name: str = 'cooldown') -> codemix.Stage:
  return stage(name, mixture, steps, schedule=codemix.LinearTo(1e-6), handoff=codemix.Handoff())


def recipe(*stages: codemix.Stage, **settings) -> codemix.Recipe:
  return codemix.Recipe(stages=stages, **{'model': MODEL, 'length': LENGTH, **settings})


def balanced_to_text(steps: int = 6) -> codemix.Recipe:
  return recipe(
    stage('balanced', {'text': 0.5, 'code': 0.5}, steps),
    stage('continued', {'text': 0.9, 'code': 0.1}, steps),
    cooldown({'text': 0.8, 'code': 0.2}, steps // 2),
  )


def study(**recipes: codemix.Recipe) -> codemix.Study:
  return codemix.Study(name='tiny', recipes=recipes, validation=('text', 'code'))


def runtime(output: Path, **settings) -> codemix.Runtime:
  return codemix.Runtime(output=str(output), **{'save_every': 4, 'tensorboard': False, **settings})
