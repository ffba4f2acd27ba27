"""`codemix import`: a folder of transformers as a finished stage."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from codemix.checkpoints import Checkpoints
from codemix.data.batches import ledger
from codemix.data.settings import tokenizer_identity
from codemix.errors import UserError
from codemix.huggingface.folder import require_place, whole_folder
from codemix.huggingface.model_config import CONFIG, Described, read_config
from codemix.huggingface.sentencepiece_import import MODEL
from codemix.huggingface.tensors import Params, tensor_shapes, to_params
from codemix.huggingface.tokenizer_export import TOKENIZER, TOKENIZER_CONFIG
from codemix.huggingface.tokenizer_import import Imported, import_tokenizer
from codemix.huggingface.weights import INDEX, Weights, open_weights
from codemix.identity import digest, file_digest
from codemix.storage import write_json
from codemix.training.optimizer import Optimizer

# Buffers that older versions of transformers stored, and compute again at loading.
_BUFFERS = ('.rotary_emb.inv_freq',)
HEAD, EMBEDDING = 'lm_head.weight', 'model.embed_tokens.weight'

VERSION = 1  # raised with each change of the conversion that changes a model's numbers


class Import(NamedTuple):
  """What was imported.

  Attributes:
    described: by config.json.
    length: tokens of a row.
    tokenizer: of the model.
    parameters: their number.
    notes: what the folder does not say, and what was taken.
  """

  described: Described
  length: int
  tokenizer: Imported
  parameters: int
  notes: tuple[str, ...]


def import_model(
  folder: Path, out: Path, *, overwrite: bool = False, length: int | None = None, dtype: str | None = None
) -> Import:
  """Writes a folder that `codemix.load_stage` opens, whole or not at all.

  It has the parameters as a checkpoint of step 0, and the tokenizer. There is no optimizer state.

  Raises UserError: `folder` is not a model that codemix can hold, with the reason, or is damaged; or
  `out` exists.

  Args:
    folder: config.json, safetensors and the tokenizer, as transformers 4 or 5 writes them.
    overwrite: whether an earlier import is replaced.
    length: tokens of a row; None for `max_position_embeddings`.
    dtype: of activations; None for the type in which the weights are stored.
  """
  require_place(out, overwrite, 'stage.json')
  _require_folder(folder)
  described = read_config(folder, dtype)
  length = _length(length, described.length)
  weights = open_weights(folder)
  _check_weights(described, weights)
  with whole_folder(out, overwrite, 'stage.json') as part:
    tokenizer = import_tokenizer(folder, part, described.special)
    rows, ids = described.config.vocab_size, tokenizer.tokenizer.vocab_size
    if ids > rows:
      raise UserError(f'{folder}: the tokenizer has {ids:,} ids and the model {rows:,}: they do not belong together.')
    params = to_params(described.kind, described.config, lambda name: _finite(weights, name))
    checkpoint = _write_checkpoint(part, params)
    _write_records(part, out.name, _identity(folder, described, length, tokenizer, weights), checkpoint)
  stored = sorted(set(weights.dtypes.values()))
  rounded = ('its float64 weights were rounded to float32.',) if 'float64' in stored else ()
  return Import(described, length, tokenizer, described.config.parameter_count()['total'], described.notes + tokenizer.notes + rounded)


def _require_folder(folder: Path) -> None:
  if folder.is_dir():
    if (folder / 'stage.json').exists():
      raise UserError(f'{folder} is a stage of codemix, not a model of transformers: use it as it is, or `codemix export` it.')
    return
  if folder.exists():
    raise UserError(f'{folder} is a file: name the folder that has {CONFIG}.')
  raise UserError(f'{folder} does not exist: download the model first; codemix reads it from disk.')


def _length(asked: int | None, longest: int) -> int:
  if asked is not None and not 1 <= asked <= longest:
    raise UserError(f'--length is {asked}: it must be from 1 to {longest:,}, the max_position_embeddings of the model.')
  return asked or longest


def _check_weights(described: Described, weights: Weights) -> None:
  """Names and shapes, and that a tied head is the embedding table."""
  layers, tied = described.config.layers, described.config.tied
  if layers > len(weights.shapes):
    raise UserError(f'{weights.folder}: config.json has num_hidden_layers = {layers:,}, and there are only {len(weights.shapes):,} tensors.')
  expected = tensor_shapes(described.kind, described.config)
  weights.require(expected, (*_BUFFERS, HEAD) if tied else _BUFFERS)
  if tied and HEAD in weights.shapes and not np.array_equal(weights.read(HEAD), weights.read(EMBEDDING)):
    raise UserError(
      f'{weights.folder}: config.json has tie_word_embeddings = true, and {HEAD} differs from {EMBEDDING}. '
      'Set it to false if the head was trained apart.'
    )


def _finite(weights: Weights, name: str) -> np.ndarray:
  values = weights.read(name)
  if not np.isfinite(values.astype(np.float32)).all():
    raise UserError(f'{weights.folder / weights.files[name]}: {name} has values that are not finite in float32. Download it again.')
  return values


def _identity(folder: Path, described: Described, length: int, tokenizer: Imported, weights: Weights) -> dict:
  """What decides the numbers of the model, as that of a stage."""
  files = [CONFIG, TOKENIZER, MODEL, TOKENIZER_CONFIG, INDEX, *weights.files.values()]
  return {
    'imported': {
      'version': VERSION,
      'class': described.kind.architecture,
      'files': {name: file_digest(folder / name) for name in sorted(set(files)) if (folder / name).exists()},
    },
    'model': described.config.identity(),
    'tokenizer': tokenizer_identity(tokenizer.tokenizer),
    'length': length,
    'optimizer': Optimizer().identity(),
  }


def _write_checkpoint(folder: Path, params: Params) -> str:
  """The parameters as the checkpoint of step 0; its digest."""
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.save(0, {'params': params}, {})
    checkpoints.wait()
    return checkpoints.digest(0)


def _write_records(folder: Path, name: str, identity: Mapping, checkpoint: str) -> None:
  trained = ledger.entry(name, [], {}, None)  # on nothing here
  write_json(folder / 'ledger.json', trained)
  write_json(folder / 'done.json', {'step': 0, 'checkpoint': checkpoint, 'ledger': trained['hash']})
  write_json(folder / 'stage.json', {'name': name, 'hash': digest(identity), 'parent': None, 'identity': identity})
