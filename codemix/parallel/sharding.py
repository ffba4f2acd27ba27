"""Logical axis names to mesh axes: how parameters, batches and activations are sharded."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.checked import checked
from codemix.errors import UserError, nearest
from codemix.parallel.mesh import AXES

BATCH_AXES = ('replica', 'data', 'fsdp')
TOKEN_AXES = (*BATCH_AXES, 'sequence')

# The axes of activations are fixed: the loss and the loader rely on them.
_ACTIVATIONS = {'batch': BATCH_AXES, 'sequence': ('sequence',), 'tokens': TOKEN_AXES}

Axis = Literal[AXES]
Over = Axis | tuple[Axis, ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class ShardingRules:
  """The mesh axis (or axes) that each logical axis of a parameter is split over; None: it is not split.

  Rules change what is trained only by the order of sums. Where there are fewer key/value heads than
  devices along 'tensor', `kv_heads=None` keeps them whole.

  Raises UserError: a name is not an axis of the mesh, or is there twice.

  Attributes:
    embed: the width of the residual stream.
    vocab: rows of the embedding table and of the head.
    heads: query heads.
    kv_heads: key/value heads.
    ffn: the hidden layer of the feed-forward network.
    head_dim: numbers of a head.
    layers: the stacked layers, which a scan goes through.
    norm: a norm's scale, which is small: gathering it would cost more than keeping it.
  """

  embed: Over = 'fsdp'
  vocab: Over = 'tensor'
  heads: Over = 'tensor'
  kv_heads: Over = 'tensor'
  ffn: Over = 'tensor'
  head_dim: Over = None
  layers: Over = None
  norm: Over = None

  def __post_init__(self) -> None:
    for name, value in dataclasses.asdict(self).items():
      over = self.over(name)
      if len(set(over)) < len(over):
        raise UserError(f'ShardingRules.{name} is {value!r}: name each axis once.')

  def over(self, name: str) -> tuple[str, ...]:
    """The mesh axes that a logical axis (of parameters or activations) is split over."""
    value = _ACTIVATIONS[name] if name in _ACTIVATIONS else getattr(self, name)
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


RULES = ShardingRules()


def parameter_shardings(mesh: Mesh, shapes: Any, axes: Any, rules: ShardingRules = RULES) -> Any:
  """The sharding of each parameter.

  Raises UserError: an axis has no rule, its size is not a multiple of the devices it is split over,
  or two axes of a parameter would be split over the same devices.

  Args:
    shapes: tree of arrays or `jax.ShapeDtypeStruct`s.
    axes: the same tree with a tuple of logical axis names for each array.

  Returns: the same tree of `NamedSharding`s.
  """

  def sharding(path, array, names) -> NamedSharding:
    parameter = jax.tree_util.keystr(path, simple=True, separator='/')
    for name, size in zip(names, array.shape, strict=True):
      _check_divides(parameter, name, size, mesh, rules)
    _check_apart(parameter, names, rules)
    return NamedSharding(mesh, _spec(names, rules))

  return jax.tree_util.tree_map_with_path(sharding, shapes, axes)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The sharding of batches: rows (the first axis of every array) split over `BATCH_AXES`.

  Rows are whole on each device, also where the model splits their positions over 'sequence': that costs a
  few bytes a token, and every process reads whole rows.
  """
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def batch_shards(mesh: Mesh | None) -> int:
  """The number of parts that the rows of a batch are split into."""
  return 1 if mesh is None else math.prod(mesh.shape[name] for name in BATCH_AXES)


def sequence_shards(mesh: Mesh | None) -> int:
  """The number of parts that the positions of a row are split into."""
  return 1 if mesh is None else mesh.shape['sequence']


def tree_bytes(tree: Any) -> int:
  """Bytes of all arrays (or `jax.ShapeDtypeStruct`s) of a tree, before sharding."""
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def device_bytes(tree: Any) -> int:
  """Bytes of one device's shards of a tree of sharded arrays, in any kind of memory."""
  sizes = ((leaf.sharding.shard_shape(leaf.shape), leaf.dtype) for leaf in jax.tree.leaves(tree))
  return sum(math.prod(shape) * dtype.itemsize for shape, dtype in sizes)


def constrain(
  x: jax.Array,
  mesh: Mesh | None,
  *names: str | None,
  rules: ShardingRules = RULES,
) -> jax.Array:
  """Constrains the sharding of an activation, one logical name (or None) per axis; without a mesh returns `x`.

  Where two names map to the same mesh axis, the first takes it.
  """
  if mesh is None:
    return x
  return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, _spec(names, rules)))


def _spec(names: tuple[str | None, ...], rules: ShardingRules) -> PartitionSpec:
  taken: set[str] = set()
  entries: list[Over] = []
  for name in names:
    over = tuple(axis for axis in rules.over(name) if axis not in taken) if name else ()
    taken.update(over)
    entries.append(over if len(over) > 1 else over[0] if over else None)
  return PartitionSpec(*entries)


def _check_divides(parameter: str, name: str, size: int, mesh: Mesh, rules: ShardingRules) -> None:
  known = [field.name for field in dataclasses.fields(rules)]
  if name not in known:
    raise UserError(
      f"{parameter}: its axis '{name}' has no sharding rule: add one.{nearest(name, known)}"
    )
  over = rules.over(name)
  devices = math.prod(mesh.shape[axis] for axis in over)
  if size % devices:
    fitting = [n for n in range(1, mesh.size + 1) if not (mesh.size % n or size % n)]
    raise UserError(
      f"{parameter}: its axis '{name}' of size {size} cannot be split over {devices} devices "
      f'(mesh axis {" x ".join(over)}): make that {" or ".join(map(str, fitting))}, or set '
      f'ShardingRules.{name} to None.'
    )


def _check_apart(parameter: str, names: tuple[str, ...], rules: ShardingRules) -> None:
  owners: dict[str, str] = {}
  for name in names:
    for axis in rules.over(name):
      if axis in owners:
        raise UserError(
          f"{parameter}: ShardingRules.{owners[axis]} and ShardingRules.{name} both take the mesh "
          f"axis '{axis}': change one of them."
        )
      owners[axis] = name
