"""What `--model_args` and the generation settings of the harness mean for codemix."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lm_eval.models.utils import normalize_gen_kwargs

from codemix.errors import UserError, nearest
from codemix.evaluation.model import Model
from codemix.models.cpu.heap import retain_heap
from codemix.models.decoding import Decoding
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_shards
from codemix.storage import as_path
from codemix.studies.load_stage import load_stage

MODEL_ARGS = ('checkpoint', 'batch', 'dtype')
DTYPES = ('bfloat16', 'float32')
MAX_NEW_TOKENS = 256  # as the harness's `hf`

# Generation settings that `Decoding` has, or that `normalize_gen_kwargs` turns into those.
GENERATION = (
  'until',
  'max_gen_toks',
  'max_new_tokens',
  'max_tokens',
  'max_completion_tokens',
  'do_sample',
  'temperature',
  'top_k',
  'top_p',
  'seed',
)


def open_model(checkpoint: Any, batch: Any, dtype: Any, batch_size: Any, unknown: Mapping[str, Any]) -> Model:
  """The model of a stage's folder, over all devices.

  Raises UserError if an argument is unknown or out of range, or the folder is not a finished stage.

  Args:
    checkpoint: the stage's folder.
    batch: rows of the model's length computed at a time; None takes `batch_size`.
    dtype: of activations; None for what the model was trained in.
    batch_size: what `--batch_size` says; a number is rounded up to a multiple of the devices.
    unknown: other arguments that were given.
  """
  for name in unknown:
    raise UserError(f'--model_args: {name} is not an argument of codemix; it has {", ".join(MODEL_ARGS)}.{nearest(name, MODEL_ARGS)}')
  if not checkpoint:
    raise UserError('--model_args: write checkpoint=FOLDER, the folder of a finished stage (OUTPUT/stages/NAME).')
  if dtype not in (None, *DTYPES):
    raise UserError(f'--model_args: dtype={dtype} is not one of {", ".join(DTYPES)}.{nearest(str(dtype), DTYPES)}')
  stage = load_stage(as_path(str(checkpoint)))
  config = dataclasses.replace(stage.config, dtype=dtype) if dtype else stage.config
  mesh = make_mesh(MeshConfig())
  asked = _rows('--model_args: batch=', batch)
  if asked is None and 'auto' not in str(batch_size):
    asked = _rows('--batch_size ', batch_size)
  shards = batch_shards(mesh)
  retain_heap()
  return stage.model(mesh, config=config, batch=asked and -(-asked // shards) * shards)


def _rows(flag: str, number: Any) -> int | None:
  if number is None:
    return None
  if not str(number).isdecimal() or int(number) < 1:
    raise UserError(f'{flag}{number} is not a number of rows of at least 1.')
  return int(number)


def decoding(settings: Mapping[str, Any]) -> Decoding:
  """How completions of a request are made.

  Raises UserError if a setting is out of range, or is one that codemix does not have.

  Args:
    settings: the request's, such as {'until': ['\\n'], 'max_gen_toks': 64, 'do_sample': False}.
  """
  for name in settings:
    if name not in GENERATION:
      raise UserError(
        f'generation setting {name}: codemix has {", ".join(GENERATION)}.{nearest(name, GENERATION)} '
        'Take it out of the task or of --gen_kwargs.'
      )
  made = normalize_gen_kwargs(dict(settings), MAX_NEW_TOKENS)
  sampled = {'top_k': int(made.get('top_k') or 0), 'top_p': float(made.get('top_p') or 1)} if made['do_sample'] else {}
  return Decoding(
    max_new_tokens=made['max_gen_toks'],
    # With do_sample alone, transformers samples at temperature 1.
    temperature=float(settings.get('temperature', 1)) if made['do_sample'] else 0.0,
    stop=tuple(text for text in made['until'] if text),
    seed=int(settings.get('seed', 0)),
    **sampled,
  )
