"""A digest of each array of a state, computed where the array lies and equal on every mesh.

The digest is a sum, modulo 2^32, of one hash for each element, of its bits and its place in the array. So the devices and processes
that hold parts of an array each sum their own, and the order does not matter. Each step of the hash can be inverted, so a change of one element always changes the sum; two sums
with different hashes make 64 bits, by which other changes are missed once in 2^64. It is against faults of memory, links and
libraries, not against people: whoever changes a file on purpose can compute it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Tree = Any

# Odd multipliers of lowbias32 (Chris Wellons, 2018) and of the finalizer of MurmurHash3, and the golden ratio in 32 bits.
_FIRST, _SECOND, _THIRD, _GOLDEN = 0x7FEB352D, 0x846CA68B, 0xC2B2AE35, 0x9E3779B9
_UINTS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}  # by bytes of an element; eight become two of four


def named(tree: Tree) -> dict[str, Any]:
  """'params.layers.norm.scale' -> the leaf. Orbax returns named tuples as dicts, so only the names in a path count."""
  name = lambda key: str(getattr(key, 'name', getattr(key, 'key', getattr(key, 'idx', key))))
  return {'.'.join(map(name, path)): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def array_digests(tree: Tree) -> dict[str, str]:
  """16 hex digits for each array, by its name; with several processes all of them call it together."""
  # An array at a time: those that are offloaded to the host need room on the devices.
  sums = {name: _sums(_on_devices(leaf)) for name, leaf in named(tree).items()}
  return {name: ''.join(f'{int(part):08x}' for part in np.asarray(pair)) for name, pair in sums.items()}


def first_difference(tree: Tree, saved: Mapping[str, str]) -> str | None:
  """The name of the first array of a tree that is not as it was when `saved` was computed; None if there is none."""
  return next((name for name, found in array_digests(tree).items() if saved.get(name) != found), None)


@jax.jit
def _sums(array: jax.Array) -> jax.Array:
  """uint32 [2] of an array of any shape and sharding."""
  bits = _bits(array)
  place = jnp.uint32(_GOLDEN)
  for axis, size in enumerate(bits.shape):
    along = lax.broadcasted_iota(jnp.uint32, (size,) + (1,) * (bits.ndim - axis - 1), 0)
    place += _mixed(along + jnp.uint32((axis + 1) * _GOLDEN % 2**32))
  first = _mixed(bits + place)
  second = first * jnp.uint32(_THIRD)
  second ^= second >> 15
  return jnp.stack([jnp.sum(first, dtype=jnp.uint32), jnp.sum(second, dtype=jnp.uint32)])


def _mixed(x: jax.Array) -> jax.Array:
  """A bijection of uint32."""
  x *= jnp.uint32(_FIRST)
  x ^= x >> 15
  x *= jnp.uint32(_SECOND)
  return x ^ (x >> 16)


def _bits(array: jax.Array) -> jax.Array:
  """Its elements as uint32."""
  if array.dtype == jnp.bool_:
    return array.astype(jnp.uint32)
  return lax.bitcast_convert_type(array, _UINTS[array.dtype.itemsize]).astype(jnp.uint32)


def _on_devices(leaf: Any) -> Any:
  if isinstance(leaf, jax.Array) and leaf.sharding.memory_kind == 'pinned_host':
    return jax.device_put(leaf, leaf.sharding.with_memory_kind('device'))
  return leaf
