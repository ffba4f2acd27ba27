"""How the loss lies on a mesh: which devices share the vocabulary, and what they send each other.

Every device has tokens of its own, and the head's weights are split over some of the devices that do.
There are two ways to bring them together, and in both each device ends with a part of the head's
gradient:

- Tokens travel. A device keeps its rows of the vocabulary, sees the tokens of all devices that share
  the weights, chunk by chunk, and hands each its part of the gradient by the activations.
- Weights travel. Each device gathers the whole head once, has a gradient as large, and in the end these
  are summed over the devices, of which each keeps a part.

In bfloat16 there and float32 back the first moves 6 T D bytes for T tokens of those that share the
weights, the second 6 V D; the second holds as much in memory, and adds to all of it in each chunk.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
from jax.sharding import Mesh, PartitionSpec

from codemix.parallel.sharding import BATCH_AXES, TOKEN_AXES, ShardingRules, constrain
from codemix.parallel.tokens import check_rows

# So many tokens travel for each row of the vocabulary, and where there are more the weights do. The bytes
# are alike at 1; 1.5 saves memory.
MOST_TOKENS = 1.5

Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
  """What a device has of the vocabulary, and does for others; without axes: all, and nothing.

  Attributes:
    beside: mesh axes over which devices with the same tokens share the vocabulary.
    travel: mesh axes over which devices with other tokens share it.
    rows, columns: mesh axes over which parts of the head's gradient are dealt out when it is summed:
      rows of the vocabulary, or columns of the width.
    copies: mesh axes over which it is summed besides.
    slices: the same, of the axis that crosses from slice to slice: 'replica'.
  """

  beside: Axes = ()
  travel: Axes = ()
  rows: Axes = ()
  columns: Axes = ()
  copies: Axes = ()
  slices: Axes = ()

  @property
  def vocabulary(self) -> Axes:
    return self.beside + self.travel

  @property
  def members(self) -> int:
    """Devices whose tokens travel together."""
    return jax.lax.axis_size(self.travel) if self.travel else 1

  def first_id(self, size: int):
    """The first of this device's rows of the vocabulary, where each has `size` of them; an int32 scalar or 0."""
    return jax.lax.axis_index(self.vocabulary) * size if self.vocabulary else 0

  def gather(self, a_C: jax.Array) -> jax.Array:
    """[C, ...] of this device to those of all whose tokens travel."""
    return jax.lax.all_gather(a_C, self.travel, tiled=True) if self.travel else a_C

  def own(self, a_C: jax.Array) -> jax.Array:
    """The inverse of `gather`: this device's part [C, ...] of what was joined."""
    if not self.travel:
      return a_C
    size = len(a_C) // self.members
    return jax.lax.dynamic_slice_in_dim(a_C, jax.lax.axis_index(self.travel) * size, size)

  def sum_own(self, a_C: jax.Array) -> jax.Array:
    """`own` of the sum over the parts of the vocabulary."""
    if self.travel:
      a_C = jax.lax.psum_scatter(a_C, self.travel, tiled=True)
    return jax.lax.psum(a_C, self.beside) if self.beside else a_C

  def join(self, a: jax.Array) -> jax.Array:
    """[...] to [parts of the vocabulary, ...]."""
    return jax.lax.all_gather(a, self.vocabulary) if self.vocabulary else a[None]

  def sum_copies(self, dhead_VxD: jax.Array) -> jax.Array:
    """The head's gradient by the tokens of all devices, as far as this device keeps it.

    First what leaves each the least; and between slices each device sends but a part of what its
    slice has summed, since the network is the slowest of links.
    """
    for axis in self.rows:
      dhead_VxD = jax.lax.psum_scatter(dhead_VxD, axis, tiled=True)
    for axis in self.columns:
      dhead_VxD = jax.lax.psum_scatter(dhead_VxD, axis, scatter_dimension=1, tiled=True)
    if not (self.copies and self.slices) or len(dhead_VxD) % jax.lax.axis_size(self.copies):
      axes = self.copies + self.slices
      return jax.lax.psum(dhead_VxD, axes) if axes else dhead_VxD
    part = jax.lax.psum_scatter(dhead_VxD, self.copies, tiled=True)
    return jax.lax.all_gather(jax.lax.psum(part, self.slices), self.copies, tiled=True)


def on_mesh(
  of_device: Callable,
  mesh: Mesh | None,
  rules: ShardingRules,
  x_BxLxD: jax.Array,
  head_VxD: jax.Array,
  targets_BxL: jax.Array,
  weights_BxL: jax.Array,
  *,
  with_gradients: bool,
) -> tuple:
  """Runs a function on each device's tokens and its part of the vocabulary.

  Args:
    of_device: (layout, x, head, targets, weights) -> (loss, nll, dx, dhead); dx and dhead are None
      without gradients.

  Returns: the same for all tokens: the loss summed, dhead split as the parameter is.

  Raises:
    UserError: rows or positions cannot be split over the devices.
  """
  arrays = x_BxLxD, head_VxD, targets_BxL, weights_BxL
  if mesh is None or mesh.size == 1:
    return of_device(Layout(), *arrays)
  B, L, _ = x_BxLxD.shape
  check_rows(B, L, mesh)
  layout = choose(mesh, rules, B * L, len(head_VxD))
  tokens = PartitionSpec(BATCH_AXES, 'sequence')
  dhead = PartitionSpec(layout.vocabulary + layout.rows, layout.columns)

  def run(*arrays):
    loss, *rest = of_device(layout, *arrays)
    return jax.lax.psum(loss, TOKEN_AXES), *rest

  loss, nll_BxL, dx_BxLxD, dhead_VxD = jax.shard_map(
    run,
    mesh=mesh,
    in_specs=(tokens, PartitionSpec(layout.vocabulary), tokens, tokens),
    out_specs=(PartitionSpec(), tokens, *((tokens, dhead) if with_gradients else (None, None))),
    check_vma=False,
  )(*arrays)
  if with_gradients:
    dhead_VxD = constrain(dhead_VxD, mesh, 'vocab', 'embed', rules=rules)
  return loss, nll_BxL, dx_BxLxD, dhead_VxD


def choose(mesh: Mesh, rules: ShardingRules, tokens: int, vocabulary: int) -> Layout:
  """The layout for a batch of that many tokens."""
  used = [axis for axis in mesh.axis_names if mesh.shape[axis] > 1]
  devices = lambda axes: math.prod(mesh.shape[axis] for axis in axes)
  rows, columns = (
    [axis for axis in rules.over(name) if axis in used] for name in ('vocab', 'embed')
  )
  shared = tuple(axis for axis in (*rows, *columns) if axis in TOKEN_AXES)
  beside = tuple(axis for axis in (*rows, *columns) if axis not in TOKEN_AXES)
  if vocabulary % devices(beside):
    beside = tuple(axis for axis in rows if axis not in TOKEN_AXES)
  in_group = tokens // devices(axis for axis in TOKEN_AXES if axis not in shared)
  travels = in_group <= MOST_TOKENS * vocabulary and vocabulary % devices(beside + shared) == 0
  summed = [axis for axis in used if axis in TOKEN_AXES and axis not in shared]
  return Layout(
    beside=beside,
    travel=shared if travels else (),
    rows=() if travels else tuple(axis for axis in rows if axis in TOKEN_AXES),
    columns=() if travels else tuple(axis for axis in columns if axis in TOKEN_AXES),
    copies=tuple(axis for axis in summed if axis != 'replica'),
    slices=tuple(axis for axis in summed if axis == 'replica'),
  )
