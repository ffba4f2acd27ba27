"""How the arrays of a run are placed on devices."""

from __future__ import annotations

import dataclasses

from jax.sharding import Mesh

from codemix.parallel.sharding import RULES, ShardingRules


@dataclasses.dataclass(frozen=True)
class Placement:
  """How parameters and moments are placed on the devices; it changes numbers only by rounding.

  Attributes:
    mesh: the devices.
    rules: how parameters are sharded over the mesh.
    offload_optimizer: whether moments are kept in host memory between steps, on the host of the
      device that updates them.
  """

  mesh: Mesh
  rules: ShardingRules = RULES
  offload_optimizer: bool = False
