"""`codemix export`: a finished stage as a folder that transformers loads."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from codemix.errors import UserError
from codemix.huggingface.classes import ModelClass, class_of
from codemix.huggingface.folder import require_place, whole_folder
from codemix.huggingface.model_config import CONFIG, write_config
from codemix.huggingface.tensors import Params, tensor_shapes, to_tensors
from codemix.huggingface.tokenizer_export import tokenizer_files
from codemix.huggingface.verify import Verified, verify
from codemix.huggingface.weights import DTYPES, write_weights
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.storage import write_json, write_text
from codemix.studies.load_stage import FinishedStage, load_stage

SHARD_BYTES = 5 * 10**9  # as transformers 4 does by default


@dataclasses.dataclass(frozen=True)
class Export:
  """How a stage is written.

  Attributes:
    dtype: of the stored tensors, 'float32' or 'bfloat16'.
    shard_bytes: the most bytes of a file of weights.
    overwrite: whether an earlier export is replaced.
    without_tokenizer: whether only the model is written.
    verify_with: a Python that has torch and transformers; None: codemix verifies by its own reader.
  """

  dtype: str = 'float32'
  shard_bytes: int = SHARD_BYTES
  overwrite: bool = False
  without_tokenizer: bool = False
  verify_with: Path | None = None


def export_stage(folder: Path, out: Path, how: Export = Export()) -> tuple[ModelClass, Verified]:
  """Writes a finished stage into `out`, whole or not at all, and verifies what was written.

  Raises UserError: the stage is not finished, no class of transformers can hold it, `out` exists, or
  the verification failed, in which case nothing is left.

  Returns: the class, and what was compared.
  """
  require_place(out, how.overwrite, CONFIG)
  stage = load_stage(folder)
  if stage.folder.resolve() in (out.resolve(), *out.resolve().parents):
    raise UserError(f'{out} lies inside the stage: name a folder elsewhere.')
  config = stage.config
  kind = class_of(config)
  length = stage.identity['length']
  texts = {} if how.without_tokenizer else tokenizer_files(stage.tokenizer, length)
  params = host_params(stage)
  with whole_folder(out, how.overwrite, CONFIG) as part:
    write_model(part, kind, config, params, _model_files(stage, kind, how.dtype), how)
    for name, value in texts.items():
      write_json(part / name, value)
    write_text(part / 'README.md', _readme(stage, kind, how.dtype))
    tokenizer = stage.tokenizer if texts else None
    verified = verify(part, config, _as_stored(params, how.dtype), length, tokenizer, how.verify_with)
  return kind, verified


def host_params(stage: FinishedStage) -> Params:
  """The stage's parameters as float32 arrays of numpy, read through one device."""
  try:
    devices = jax.local_devices(backend='cpu')[:1]  # its memory is the host's
  except RuntimeError:  # JAX_PLATFORMS excludes it
    devices = jax.local_devices()[:1]
  return jax.tree.map(np.asarray, stage.model(make_mesh(MeshConfig(data=1), devices)).params)


def write_model(folder: Path, kind: ModelClass, config: ModelConfig, params: Params, files: dict[str, Any], how: Export) -> None:
  """Writes the JSON files, and the weights."""
  for name, value in files.items():
    write_json(folder / name, value)
  sizes = {name: math.prod(shape) for name, shape in tensor_shapes(kind, config).items()}
  write_weights(folder, to_tensors(kind, config, params), sizes, how.dtype, how.shard_bytes)


def _model_files(stage: FinishedStage, kind: ModelClass, dtype: str) -> dict[str, dict[str, Any]]:
  tokenizer = stage.tokenizer
  special = {'pad': tokenizer.pad_id, 'bos': tokenizer.bos_id, 'eos': tokenizer.eos_id}
  return {
    CONFIG: write_config(kind, stage.config, stage.identity['length'], special, dtype),
    # The ends of a text; greedy, unless the caller says otherwise.
    'generation_config.json': {f'{name}_token_id': id for name, id in special.items()},
  }


def _as_stored(params: Params, dtype: str) -> Params:
  """The parameters as they come back from the files."""
  return params if dtype == 'float32' else jax.tree.map(lambda a: a.astype(DTYPES[dtype]).astype(np.float32), params)


def _readme(stage: FinishedStage, kind: ModelClass, dtype: str) -> str:
  return '\n'.join([
    f'# {stage.name}',
    '',
    f'Exported by codemix as {kind.architecture} in {dtype}, after step {stage.step:,}.',
    f'The stage: {stage.folder.name}. Its checkpoint: sha256 {stage.checkpoint}.',
    '',
    'The model continues text; it follows no instructions. Its tokenizer puts BOS before a text, as in training.',
    '',
  ])  # fmt: skip
