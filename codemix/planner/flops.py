"""Counts the matmul FLOPs that a traced step executes, with every iteration of a loop and recomputation.

XLA's count takes the body of a loop once and does not include kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core

Jaxpr = core.Jaxpr | core.ClosedJaxpr

# Attention kernels visit all blocks of queries and keys and skip those that are masked: with a causal
# mask about half of them.
KERNEL_BRANCH_TAKEN = 0.5


def matmul_flops(jaxpr: Jaxpr, branch_taken: float = 1.0) -> float:
  """FLOPs of all matmuls on all devices, 2 per multiply-add; for a kernel, the number that it declares.

  A loop of unknown length counts as one iteration. An equation whose results are not read does not
  count: XLA removes it, though JAX keeps a kernel that remat made superfluous.

  Args:
    branch_taken: how often a conditional takes its most expensive branch, 0 to 1.
  """
  total = 0.0
  for equation in _live(getattr(jaxpr, 'jaxpr', jaxpr)):
    name, settings = equation.primitive.name, equation.params
    if name == 'dot_general':
      total += _dot(equation)
    elif name == 'pallas_call':
      total += _kernel(settings)
    elif name == 'cond':
      total += branch_taken * max(matmul_flops(branch, branch_taken) for branch in settings['branches'])
    else:
      times = settings['length'] if name == 'scan' else _devices(settings) if name == 'shard_map' else 1
      total += times * sum(matmul_flops(inner, branch_taken) for inner in _inner(settings))
  return total


def _live(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
  """The equations that have an effect or a result that is read."""
  read = {variable for variable in jaxpr.outvars if isinstance(variable, core.Var)}
  live = []
  for equation in reversed(jaxpr.eqns):
    if equation.effects or not read.isdisjoint(equation.outvars):
      live.append(equation)
      read.update(variable for variable in equation.invars if isinstance(variable, core.Var))
  return live


def _dot(equation: Any) -> float:
  (contracted, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _kernel(settings: dict) -> float:
  """The FLOPs that a kernel declares; without a declaration, its body times its grid."""
  declared = settings.get('cost_estimate')
  if declared is not None:
    return float(declared.flops)
  return math.prod(settings['grid_mapping'].grid) * matmul_flops(settings['jaxpr'], KERNEL_BRANCH_TAKEN)


def _devices(settings: dict) -> int:
  """Over how many devices a `shard_map` runs; its body is the work of one."""
  sizes = settings['mesh'].shape
  return math.prod(sizes[axis] for axis in settings.get('manual_axes', sizes))


def _inner(settings: dict) -> Iterator[Jaxpr]:
  for value in settings.values():
    for item in value if isinstance(value, (tuple, list)) else (value,):
      if isinstance(item, (core.Jaxpr, core.ClosedJaxpr)):
        yield item
