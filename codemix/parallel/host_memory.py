"""Offloading: arrays that stay in the memory of the devices' hosts until they are needed."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh

from codemix.errors import UserError

PINNED = 'pinned_host'  # memory of the host that devices access directly

Tree = Any


def in_host_memory(shapes: Tree, shardings: Tree) -> Tree:
  """The same shardings, in the hosts' memory; scalars stay on the devices."""
  return jax.tree.map(
    lambda leaf, sharding: sharding.with_memory_kind(PINNED) if leaf.ndim else sharding,
    shapes,
    shardings,
  )


def require_host_memory(mesh: Mesh) -> None:
  """Raises UserError where the devices cannot access their hosts' memory directly."""
  device = next(iter(mesh.local_devices))
  kinds = [memory.kind for memory in device.addressable_memories()]
  if PINNED not in kinds:
    raise UserError(
      f'Runtime.offload_optimizer needs devices with {PINNED} memory; {device.device_kind} has '
      f'{", ".join(kinds)}. Set it to False.'
    )
