"""Logical axis names to mesh axes: where parameters, batches and activations live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.errors import UserError, nearest

BATCH_AXES = ('data', 'fsdp')

Rules = Mapping[str, str | tuple[str, ...] | None]

# A logical axis to the mesh axis (or axes) that it is split over; None: each device has all of it.
RULES: Rules = {
  'batch': BATCH_AXES,
  'replica': 'data',
  'embed': 'fsdp',
  'vocab': 'tensor',
  'heads': 'tensor',
  'kv_heads': 'tensor',
  'ffn': 'tensor',
  'head_dim': None,
  'layers': None,
  'norm': None,  # a few numbers: gathering them would cost more than keeping them
}


def parameter_shardings(mesh: Mesh, shapes: Any, axes: Any, rules: Rules = RULES) -> Any:
  """The sharding of each parameter.

  Args:
    shapes: tree of arrays or `jax.ShapeDtypeStruct`s.
    axes: the same tree with a tuple of logical axis names for each array.

  Returns: the same tree of `NamedSharding`s.

  Raises:
    UserError: an axis has no rule, or its size is not a multiple of the devices it is split over.
  """

  def sharding(path, array, names) -> NamedSharding:
    parameter = jax.tree_util.keystr(path, simple=True, separator='/')
    for name, size in zip(names, array.shape, strict=True):
      _check_divides(parameter, name, size, mesh, rules)
    return NamedSharding(mesh, _spec(names, rules))

  return jax.tree_util.tree_map_with_path(sharding, shapes, axes)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Rows (the first axis of every array of a batch) split over 'data' and 'fsdp'."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def batch_shards(mesh: Mesh | None) -> int:
  """Into how many parts the rows of a batch are split."""
  return 1 if mesh is None else math.prod(mesh.shape[name] for name in BATCH_AXES)


def constrain(x: jax.Array, mesh: Mesh | None, *names: str | None, rules: Rules = RULES):
  """Fixes how an activation is split, one logical name (or None) per axis; no mesh: as it is."""
  if mesh is None:
    return x
  return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, _spec(names, rules)))


def _spec(names: tuple[str | None, ...], rules: Rules) -> PartitionSpec:
  return PartitionSpec(*(None if name is None else rules[name] for name in names))


def _check_divides(parameter: str, name: str, size: int, mesh: Mesh, rules: Rules) -> None:
  if name not in rules:
    raise UserError(
      f"{parameter}: its axis '{name}' has no sharding rule: add one.{nearest(name, rules)}"
    )
  over = rules[name]
  over = () if over is None else (over,) if isinstance(over, str) else over
  devices = math.prod(mesh.shape[axis] for axis in over)
  if size % devices:
    raise UserError(
      f"{parameter}: its axis '{name}' of size {size} cannot be split over {devices} devices "
      f'(mesh axis {" x ".join(over)}): make that a divisor of {size}.'
    )
