"""The vocabulary in blocks: as many rows of the head at a time as keep their logits in a CPU's cache."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

CACHE_BYTES = 2**22  # of a block's logits; from 1 to 8 MiB the speed is the same
LEAST_ROWS = 512


class Blocks(NamedTuple):
  """`count` blocks of equal size; where they do not divide the vocabulary, the last overlaps the one before.

  Attributes:
    vocabulary: rows of the head.
    count: number of blocks.
  """

  vocabulary: int
  count: int

  @classmethod
  def in_cache(cls, vocabulary: int, tokens: int) -> Blocks:
    """Blocks whose logits of that many tokens fit the cache."""
    most = max(CACHE_BYTES // (4 * tokens), LEAST_ROWS)
    size = -(-vocabulary // -(-vocabulary // most))
    return cls(vocabulary, -(-vocabulary // size))

  @property
  def size(self) -> int:
    """Rows of a block."""
    return -(-self.vocabulary // self.count)

  def ids(self, i: jax.Array) -> jax.Array:
    """The rows of the head in block i, int32 [size]."""
    return self._start(i) + jnp.arange(self.size)

  def is_new(self, i: jax.Array) -> jax.Array | bool:
    """Which rows of block i are in no earlier block."""
    return True if self.vocabulary == self.count * self.size else self.ids(i) >= i * self.size

  def find(self, i: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether each row of the head is new in block i; and its place there, 0 if it is not."""
    place = rows - self._start(i)
    is_here = (rows >= i * self.size) & (place < self.size)
    return is_here, jnp.where(is_here, place, 0)

  def take(self, i: jax.Array, a_VxD: jax.Array) -> jax.Array:
    """Block i of an array."""
    return jax.lax.dynamic_slice_in_dim(a_VxD, self._start(i), self.size)

  def add(self, i: jax.Array, a_VxD: jax.Array, block: jax.Array) -> jax.Array:
    """The array with `block` added to its block i."""
    return jax.lax.dynamic_update_slice_in_dim(
      a_VxD, self.take(i, a_VxD) + block, self._start(i), 0
    )

  def _start(self, i: jax.Array) -> jax.Array:
    return jnp.minimum(i * self.size, self.vocabulary - self.size)
