"""Describes a model before it is trained: parameters, FLOPs and memory, by part."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from codemix import formatting
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import device_bytes, tree_bytes
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import abstract_state

# The parameters that each part of the FLOPs belongs to; the attention scores have none.
_THROUGH = {
  'embedding': 'embedding',
  'attention_projections': 'attention',
  'attention_scores': None,
  'ffn': 'ffn',
  'head': 'head',
}


def describe_model(
  model: ModelConfig,
  optimizer: Optimizer,
  length: int,
  placement: Placement,
) -> dict[str, Any]:
  """Parameters, FLOPs and bytes, as plain data; allocates nothing.

  Raises UserError if the parameters do not divide over the mesh.

  Args:
    length: tokens of a row.
    placement: how the state is sharded.

  Returns:
    `dtype`: of activations. `parameters`: as of `ModelConfig.parameter_count`. `flops_per_token`:
    of training, as of `ModelConfig.flops_per_token`. `bytes`: of the weights, of their gradients
    while a step runs, of the optimizer's moments, and of a checkpoint (weights and moments).
    `device_bytes`: of the first three, the part on one device (of moments that are offloaded: in
    its host's memory). The memory for activations depends on the compiler: see `codemix plan`.
  """
  state = abstract_state(model, optimizer, placement)
  weights, moments = tree_bytes(state.params), tree_bytes(state.opt_state)
  on_device, moments_on_device = device_bytes(state.params), device_bytes(state.opt_state)
  return {
    'dtype': model.dtype,
    'parameters': model.parameter_count(),
    'length': length,
    'flops_per_token': model.flops_per_token(length),
    'bytes': {
      'weights': weights,
      'gradients': weights,
      'moments': moments,
      'checkpoint': weights + moments,
    },
    'devices': placement.mesh.size,
    'device_bytes': {'weights': on_device, 'gradients': on_device, 'moments': moments_on_device},
    'moments_offloaded': placement.offload_optimizer,
  }


def show_model(summary: dict[str, Any], console: Console) -> None:
  """Prints the description of `describe_model`."""
  console.print(f'model: {summary["parameters"]["total"]:,} parameters, {summary["dtype"]} on float32; rows of {summary["length"]:,} tokens')
  console.print(Padding(_parts(summary), (0, 0, 0, 2), expand=False))
  size = summary['bytes']
  console.print(f'memory: {_listed(size)}; a checkpoint {formatting.memory(size["checkpoint"])}; activations: see `codemix plan`')
  if summary['devices'] > 1:
    resting = ' (in the memory of its host)' if summary['moments_offloaded'] else ''
    console.print(f'  on each of {summary["devices"]} devices: {_listed(summary["device_bytes"])}{resting}')


def _parts(summary: dict[str, Any]) -> Table:
  parameters, flops = summary['parameters'], summary['flops_per_token']
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('part')
  for column in ('parameters', 'share', 'training MFLOPs a token', 'share'):
    table.add_column(column, justify='right')
  rows = [(name, parameters.get(part), flops[name]) for name, part in _THROUGH.items()]
  rows.insert(-1, ('norm', parameters['norm'], 0.0))
  for name, count, operations in (*rows, ('total', parameters['total'], flops['total'])):
    table.add_row(
      name.replace('_', ' '),
      *(('tied', '') if name == 'head' and not count else _cells(count, parameters['total'], f'{count or 0:,}')),
      *_cells(operations, flops['total'], f'{operations / 1e6:,.1f}'),
    )
  return table


def _listed(size: dict[str, int]) -> str:
  return ', '.join(f'{part} {formatting.memory(size[part])}' for part in ('weights', 'gradients', 'moments'))


def _cells(value: float | None, total: float, text: str) -> tuple[str, str]:
  return (text, formatting.percent(value / total)) if value else ('–', '')
