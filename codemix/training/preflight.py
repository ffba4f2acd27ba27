"""Checks before the first step that a stage fits the mesh."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.host_memory import require_host_memory
from codemix.parallel.sharding import (
  BATCH_AXES,
  ShardingRules,
  batch_shards,
  parameter_shardings,
  sequence_shards,
)
from codemix.training.runtime import Runtime


def check_layout(
  model: ModelConfig, batch: int, length: int, mesh: Mesh, runtime: Runtime, where: str
) -> None:
  """Checks that rows, positions and parameters divide over the mesh as the runtime shards them.

  Raises UserError, naming what does not divide, and a value that does.

  Args:
    batch: rows of a global batch.
    length: tokens of a row.
    runtime: its rules, microbatches and offloading.
    where: what is checked, such as "stage 'balanced'".
  """
  portions = batch_shards(mesh) * runtime.microbatches
  if batch % portions:
    fitting = sorted({batch // portions * portions, -(-batch // portions) * portions} - {0})
    times = f' x {runtime.microbatches} microbatches' if runtime.microbatches > 1 else ''
    raise UserError(
      f'{where}: a batch of {batch} rows does not divide over {batch_shards(mesh)} devices '
      f'({" x ".join(BATCH_AXES)}){times}. Set Stage.batch to {" or ".join(map(str, fitting))}, or '
      f'change Runtime.mesh{" or Runtime.microbatches" if times else ""}.'
    )
  if length % (parts := sequence_shards(mesh)):
    fitting = [n for n in range(1, mesh.size + 1) if not (mesh.size % n or length % n)]
    raise UserError(
      f'{where}: rows of {length} tokens do not divide over {parts} devices (sequence). '
      f'Set MeshConfig.sequence to one of {", ".join(map(str, fitting))}.'
    )
  try:
    _trace(model, runtime.rows_at_once(batch), length, mesh, runtime.rules)
  except UserError as error:
    raise UserError(f'{where}: {error}') from None
  if runtime.offload_optimizer:
    require_host_memory(mesh)


@functools.cache
def _trace(model: ModelConfig, rows: int, length: int, mesh: Mesh, rules: ShardingRules) -> None:
  """Traces the model without computing, so that it refuses here what it would refuse in a step."""
  params = decoder.abstract_params(model)
  parameter_shardings(mesh, params, decoder.logical_axes(model), rules)
  batch = {
    name: jax.ShapeDtypeStruct((rows, length), jnp.float32 if name == 'weights' else jnp.int32)
    for name in ('inputs', 'targets', 'segment_ids', 'positions', 'weights')
  }
  jax.eval_shape(functools.partial(decoder.token_losses, model, mesh=mesh, rules=rules), params, batch)
