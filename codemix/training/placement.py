"""Where the arrays of a run lie."""

from __future__ import annotations

import dataclasses

from jax.sharding import Mesh

from codemix.parallel.sharding import RULES, ShardingRules


@dataclasses.dataclass(frozen=True)
class Placement:
  """How parameters and moments lie on the devices; it changes no number but by rounding.

  Attributes:
    mesh: the devices.
    rules: how parameters lie on the mesh.
    offload_optimizer: whether moments rest in the hosts' memory between steps, each with the host
      of the device that updates it.
  """

  mesh: Mesh
  rules: ShardingRules = RULES
  offload_optimizer: bool = False
