"""Folders that `Recipe.start` may name, for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import jax

import codemix
from codemix import cli
from codemix.checkpoints import Checkpoints
from codemix.data.batches import ledger
from codemix.data.settings import tokenizer_identity
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.identity import digest
from codemix.models.decoder import init_params
from codemix.storage import write_json
from codemix.training.optimizer import Optimizer
from tests import tiny_study


def write_imported(
  folder: Path, model: codemix.ModelConfig = tiny_study.MODEL, seed: int = 5, length: int = tiny_study.LENGTH, tokenizer: Tokenizer | None = None
) -> dict:
  """A folder in the form that `codemix import` writes; returns the parameters."""
  params = init_params(model, seed)
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.save(0, {'params': params}, {})
    checkpoints.wait()
    checkpoint = checkpoints.digest(0)
  write_records(folder, model, checkpoint, length, tokenizer or load_tokenizer('bytes'), seed)
  return jax.device_get(params)


def fine_tune(folder: Path, gin_file: str, bindings: Mapping[str, object], *flags: str) -> Path:
  """Trains a shipped recipe on top of an imported model, on byte tokens, in a folder; returns the folder of the run."""
  start = folder / 'public'
  write_imported(start)
  own = {'START': str(start), 'Data.tokenizer': 'bytes', 'Data.directory': str(folder / 'data'), 'Runtime.output': str(folder / 'run')}
  assert cli.main(['train', f'--gin_file={gin_file}', *(f'--gin.{name}={value!r}' for name, value in {**own, **bindings}.items()), *flags]) == 0
  return folder / 'run'


def write_records(
  folder: Path, model: codemix.ModelConfig, checkpoint: str, length: int, tokenizer: Tokenizer, seed: int = 5
) -> None:
  """stage.json, ledger.json and done.json of an imported model."""
  identity = {
    'imported': {'class': 'CohereForCausalLM', 'files': {'model.safetensors': f'of seed {seed}'}},
    'model': model.identity(),
    'tokenizer': tokenizer_identity(tokenizer),
    'length': length,
    'optimizer': Optimizer().identity(),
  }
  entry = ledger.entry(folder.name, [], {}, None)
  write_json(folder / 'ledger.json', entry)
  write_json(folder / 'done.json', {'step': 0, 'checkpoint': checkpoint, 'ledger': entry['hash']})
  write_json(folder / 'stage.json', {'name': folder.name, 'hash': digest(identity), 'parent': None, 'identity': identity})


def write_without_arrays(folder: Path, model: codemix.ModelConfig, length: int, tokenizer: Tokenizer) -> None:
  """An imported model of any size, to plan with: its checkpoint has no files."""
  (folder / 'checkpoints' / '0').mkdir(parents=True)
  write_json(folder / 'checkpoints' / '0.digest.json', {})
  write_records(folder, model, digest({}), length, tokenizer)
