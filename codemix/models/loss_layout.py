"""How the loss is laid out on a mesh: which devices share the vocabulary, and what they exchange.

Every device has tokens of its own, and the head's weights are split over some of these devices. There
are two ways to bring tokens and weights together. In both, each device ends with its part of the
head's gradient.

- Gather tokens. A device keeps its rows of the vocabulary, receives the tokens of all devices that
  share the weights, chunk by chunk, and returns to each its part of the activations' gradient.
- Gather weights. Each device gathers the whole head once and holds a gradient of the same size. The
  gradients are reduce-scattered at the end.

With bfloat16 activations and weights and float32 gradients, the first moves 6 T D bytes for the T tokens of
the devices that share the weights, and the second 6 V D. The second needs that much memory too, and adds
to the whole gradient in each chunk.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
from jax.sharding import Mesh, PartitionSpec

from codemix.parallel.sharding import BATCH_AXES, TOKEN_AXES, ShardingRules, constrain
from codemix.parallel.tokens import check_rows

# Up to so many tokens for each row of the vocabulary, tokens are gathered; beyond, weights. Both move
# the same bytes at 1; 1.5 saves memory.
MOST_TOKENS = 1.5

Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
  """The mesh axes over which the loss communicates. Without axes a device has the whole vocabulary.

  Attributes:
    tensor_axes: the vocabulary is split over them, and the tokens are not.
    token_axes: both are split over them; devices along them gather each other's tokens.
    row_axes: the head's gradient is reduce-scattered over them by rows (of the vocabulary).
    column_axes: and by columns (of the width).
    sum_axes: and summed over them.
    slice_axes: and summed over them between slices ('replica').
  """

  tensor_axes: Axes = ()
  token_axes: Axes = ()
  row_axes: Axes = ()
  column_axes: Axes = ()
  sum_axes: Axes = ()
  slice_axes: Axes = ()

  @property
  def vocabulary_axes(self) -> Axes:
    return self.tensor_axes + self.token_axes

  @property
  def token_groups(self) -> int:
    """How many devices' tokens are gathered."""
    return jax.lax.axis_size(self.token_axes) if self.token_axes else 1

  def first_row(self, size: int):
    """The first of this device's `size` rows of the vocabulary; an int32 scalar or 0."""
    return jax.lax.axis_index(self.vocabulary_axes) * size if self.vocabulary_axes else 0

  def gather_tokens(self, a_C: jax.Array) -> jax.Array:
    """[C, ...] of this device to [C * token_groups, ...]."""
    return jax.lax.all_gather(a_C, self.token_axes, tiled=True) if self.token_axes else a_C

  def local_part(self, a_C: jax.Array) -> jax.Array:
    """This device's tokens out of gathered ones: the inverse of `gather_tokens`."""
    if not self.token_axes:
      return a_C
    size = len(a_C) // self.token_groups
    return jax.lax.dynamic_slice_in_dim(a_C, jax.lax.axis_index(self.token_axes) * size, size)

  def sum_local_part(self, a_C: jax.Array) -> jax.Array:
    """`local_part` of the sum over all parts of the vocabulary."""
    if self.token_axes:
      a_C = jax.lax.psum_scatter(a_C, self.token_axes, tiled=True)
    return jax.lax.psum(a_C, self.tensor_axes) if self.tensor_axes else a_C

  def gather_parts(self, a: jax.Array) -> jax.Array:
    """[...] to [parts of the vocabulary, ...]."""
    return jax.lax.all_gather(a, self.vocabulary_axes) if self.vocabulary_axes else a[None]

  def reduce_head_gradient(self, dhead_VxD: jax.Array) -> jax.Array:
    """This device's part of the head's gradient, summed over the tokens of all devices.

    The scatters come first, since they leave each device less to send. Between slices, over the slowest
    links, each device then sends only its part of what its slice has summed.
    """
    for axis in self.row_axes:
      dhead_VxD = jax.lax.psum_scatter(dhead_VxD, axis, tiled=True)
    for axis in self.column_axes:
      dhead_VxD = jax.lax.psum_scatter(dhead_VxD, axis, scatter_dimension=1, tiled=True)
    if not (self.sum_axes and self.slice_axes) or len(dhead_VxD) % jax.lax.axis_size(self.sum_axes):
      axes = self.sum_axes + self.slice_axes
      return jax.lax.psum(dhead_VxD, axes) if axes else dhead_VxD
    part = jax.lax.psum_scatter(dhead_VxD, self.sum_axes, tiled=True)
    return jax.lax.all_gather(jax.lax.psum(part, self.slice_axes), self.sum_axes, tiled=True)


def on_mesh(
  of_device: Callable,
  mesh: Mesh | None,
  rules: ShardingRules,
  arrays: tuple[jax.Array, ...],
  *,
  with_gradients: bool,
) -> tuple:
  """Runs a function on each device's tokens and its part of the vocabulary.

  Raises UserError: rows or positions cannot be split over the devices.

  Args:
    of_device: (layout, x, head, targets, weights) -> (loss, nll, dx, dhead); dx and dhead are None
      without gradients.
    arrays: x_BxLxD, head_VxD, targets_BxL, weights_BxL.

  Returns: the same for all tokens: the loss summed, dhead sharded as the parameter is.
  """
  if mesh is None or mesh.size == 1:
    return of_device(Layout(), *arrays)
  B, L, _ = arrays[0].shape
  check_rows(B, L, mesh)
  layout = choose(mesh, rules, B * L, len(arrays[1]))
  tokens = PartitionSpec(BATCH_AXES, 'sequence')
  dhead = PartitionSpec(layout.vocabulary_axes + layout.row_axes, layout.column_axes)

  def run(*arrays):
    loss, *rest = of_device(layout, *arrays)
    return jax.lax.psum(loss, TOKEN_AXES), *rest

  loss, nll_BxL, dx_BxLxD, dhead_VxD = jax.shard_map(
    run,
    mesh=mesh,
    in_specs=(tokens, PartitionSpec(layout.vocabulary_axes), tokens, tokens),
    out_specs=(PartitionSpec(), tokens, *((tokens, dhead) if with_gradients else (None, None))),
    check_vma=False,
  )(*arrays)
  if with_gradients:
    dhead_VxD = constrain(dhead_VxD, mesh, 'vocab', 'embed', rules=rules)
  return loss, nll_BxL, dx_BxLxD, dhead_VxD


def choose(mesh: Mesh, rules: ShardingRules, tokens: int, vocabulary: int) -> Layout:
  """The layout for a batch of `tokens` tokens and a head of `vocabulary` rows."""
  used = [axis for axis in mesh.axis_names if mesh.shape[axis] > 1]
  devices = lambda axes: math.prod(mesh.shape[axis] for axis in axes)
  rows, columns = (
    [axis for axis in rules.over(name) if axis in used] for name in ('vocab', 'embed')
  )
  token_axes = tuple(axis for axis in (*rows, *columns) if axis in TOKEN_AXES)
  tensor_axes = tuple(axis for axis in (*rows, *columns) if axis not in TOKEN_AXES)
  if vocabulary % devices(tensor_axes):
    tensor_axes = tuple(axis for axis in rows if axis not in TOKEN_AXES)
  summed = [axis for axis in used if axis in TOKEN_AXES and axis not in token_axes]
  layout = Layout(
    tensor_axes=tensor_axes,
    sum_axes=tuple(axis for axis in summed if axis != 'replica'),
    slice_axes=tuple(axis for axis in summed if axis == 'replica'),
  )
  gathered = tokens // devices(axis for axis in TOKEN_AXES if axis not in token_axes)
  if gathered <= MOST_TOKENS * vocabulary and vocabulary % devices(tensor_axes + token_axes) == 0:
    return dataclasses.replace(layout, token_axes=token_axes)
  return dataclasses.replace(
    layout,
    row_axes=tuple(axis for axis in rows if axis in TOKEN_AXES),
    column_axes=tuple(axis for axis in columns if axis in TOKEN_AXES),
  )
