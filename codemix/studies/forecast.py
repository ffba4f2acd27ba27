"""A rough forecast of the time that training takes, before anything is compiled."""

from __future__ import annotations

import time
from collections.abc import Iterable

import jax
import numpy as np
from jax.sharding import Mesh

from codemix.studies.planning import StudyPlan
from codemix.training.stage import StagePlan

UTILISATION = 0.4  # share of the measured matmul rate; what small decoders reach on CPUs and large ones on accelerators


def forecast(plan: StudyPlan, stages: Iterable[StagePlan], mesh: Mesh) -> tuple[float, float]:
  """(FLOPs, seconds) of training, at `UTILISATION` of a matmul rate measured on one device now."""
  flops = sum(plan.recipe_of(p).model.flops_per_token(p.length)['total'] * p.tokens for p in stages)
  return flops, flops / (UTILISATION * _matmul_rate() * mesh.size)


def _matmul_rate(size: int = 1024, repeats: int = 8) -> float:
  """FLOP/s of a square float32 product on one device."""
  x = jax.device_put(np.ones((size, size), np.float32))  # jnp.ones would compile a program of its own
  product = jax.jit(lambda x: x @ x)
  product(x).block_until_ready()
  seconds = []
  for _ in range(repeats):
    began = time.perf_counter()
    product(x).block_until_ready()
    seconds.append(time.perf_counter() - began)
  return 2 * size**3 / min(seconds)  # on a shared machine the slower ones waited
