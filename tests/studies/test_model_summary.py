"""What is said of a model before it is trained is what its arrays come to."""

from __future__ import annotations

import dataclasses
import io

import jax
import pytest
from rich.console import Console

from codemix import formatting
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.studies.model_summary import describe_model, show_model
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import init_state

MODEL = ModelConfig(
  vocab_size=64, layers=2, width=16, ffn_width=32, heads=4, kv_heads=2, head_dim=8, tied=False, dtype='float32'
)


def bytes_on(device, tree) -> int:
  shards = [shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards]
  return sum(shard.data.nbytes for shard in shards if shard.device == device)


@pytest.mark.parametrize(
  ('axes', 'optimizer'),
  [({'fsdp': 4, 'data': 2}, Optimizer()), ({'tensor': 2, 'data': 4}, Optimizer(moments_dtype='bfloat16')), ({'fsdp': 4, 'data': 2}, Optimizer('lion'))],
)
def test_the_bytes_are_those_of_the_state(axes, optimizer):
  mesh = make_mesh(MeshConfig(**axes))
  said = describe_model(MODEL, optimizer, 32, Placement(mesh))
  state = init_state(MODEL, optimizer, 0, Placement(mesh))
  total = lambda tree: sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
  assert said['bytes']['weights'] == total(state.params) == 4 * MODEL.parameter_count()['total']
  assert said['bytes']['moments'] == total(state.opt_state)
  assert said['bytes']['checkpoint'] == total(state)
  device = mesh.devices.flat[-1]
  assert said['device_bytes']['weights'] == bytes_on(device, state.params)
  assert said['device_bytes']['moments'] == bytes_on(device, state.opt_state)


def shown(model: ModelConfig, **axes: int) -> str:
  console = Console(record=True, width=120, file=io.StringIO())
  show_model(describe_model(model, Optimizer(), 32, Placement(make_mesh(MeshConfig(**axes)))), console)
  return console.export_text()


def test_every_part_stands_on_its_line_with_its_parameters_and_flops():
  text = shown(MODEL, data=8)
  lines = {line[:23].strip(): line[23:].split() for line in text.splitlines()}
  parameters = MODEL.parameter_count()
  assert f'{parameters["total"]:,} parameters' in text
  for part in ('embedding', 'ffn', 'norm', 'head', 'total'):
    assert lines[part][0] == f'{parameters[part]:,}'
  assert lines['attention projections'][0] == f'{parameters["attention"]:,}'
  flops = MODEL.flops_per_token(32)
  for part in ('attention_projections', 'attention_scores', 'ffn', 'head', 'total'):
    assert f'{flops[part] / 1e6:,.1f}' in lines[part.replace('_', ' ')]
  assert 'on each of 8 devices' in text


def test_a_tied_head_has_flops_and_no_parameters():
  head = next(line for line in shown(dataclasses.replace(MODEL, tied=True), data=8).splitlines() if 'head' in line)
  assert head.split()[1] == 'tied'


@pytest.mark.parametrize(
  ('count', 'text'),
  [(12, '12 B'), (4_473_924, '4.27 MiB'), (2**30, '1.00 GiB'), (1023 * 2**20, '0.999 GiB'), (999 * 2**20, '999 MiB')],
)
def test_memory_has_three_digits_and_a_unit(count, text):
  assert formatting.memory(count) == text
