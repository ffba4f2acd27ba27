"""On a mesh either tokens or weights are gathered, and the loss is the same."""

import functools
import math
import re

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from codemix.models import loss_layout
from codemix.models.loss import chunked_cross_entropy
from codemix.models.loss_layout import Layout, choose
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import BATCH_AXES, ShardingRules
from codemix.planner.collectives import Place, collectives_of
from codemix.planner.hlo import parse
from tests.models.random_inputs import QUICK
from tests.models.test_loss import full_loss, random_inputs

B, L, D, V = 8, 12, 16, 48
OPTIONS = {'logit_scale': 0.5, 'z_loss': 0.01}
TOKENS, WEIGHTS = math.inf, 0  # MOST_TOKENS at which these are gathered


def differentiate(mesh, rules, chunk=3, gradients=True):
  def call(x, head, targets, weights):
    options = {'chunk': chunk, 'mesh': mesh, 'rules': rules, **OPTIONS}
    return chunked_cross_entropy(x, head, targets, weights, **options)

  function = jax.value_and_grad(call, argnums=(0, 1), has_aux=True) if gradients else call
  head = NamedSharding(mesh, PartitionSpec(rules.vocab, rules.embed))
  rows = NamedSharding(mesh, PartitionSpec(BATCH_AXES))
  shardings = NamedSharding(mesh, PartitionSpec(BATCH_AXES, 'sequence')), head, rows, rows
  return jax.jit(function, in_shardings=shardings, compiler_options=QUICK)


@functools.cache
def expected():
  inputs = random_inputs(0, B, L, D, V)
  call = lambda x, head: full_loss(x, head, *inputs[2:], **OPTIONS)
  return jax.jit(jax.value_and_grad(call, argnums=(0, 1), has_aux=True))(*inputs[:2])


@pytest.mark.parametrize('gathered', [TOKENS, WEIGHTS], ids=['tokens', 'weights'])
@pytest.mark.parametrize(
  ('mesh_config', 'rules'),
  [
    (MeshConfig(data=1, fsdp=8), ShardingRules()),
    (MeshConfig(data=1, fsdp=2, sequence=2, tensor=2), ShardingRules()),
    (MeshConfig(replica=2, data=2, fsdp=2), ShardingRules()),
    (MeshConfig(data=2, fsdp=2, tensor=2), ShardingRules(embed=None, vocab=('fsdp', 'tensor'))),
    (MeshConfig(data=2, fsdp=2, tensor=2), ShardingRules(embed=('fsdp', 'data'))),
    (MeshConfig(data=2, fsdp=2, tensor=2), ShardingRules(embed='tensor', vocab='data')),
    (MeshConfig(data=4, tensor=2), ShardingRules(embed=None, vocab=None)),
  ],
  ids=str,
)
def test_whichever_is_gathered_value_and_gradients_are_those_of_one_device(mesh_config, rules, gathered, monkeypatch):
  monkeypatch.setattr(loss_layout, 'MOST_TOKENS', gathered)
  inputs = random_inputs(0, B, L, D, V)
  mesh = make_mesh(mesh_config)
  trained, gradients = differentiate(mesh, rules)(*inputs)
  evaluated = differentiate(mesh, rules, gradients=False)(*inputs)
  (loss_, nll_), gradients_ = expected()
  for loss, nll in (trained, evaluated):
    np.testing.assert_allclose(loss, loss_, rtol=2e-6)
    np.testing.assert_allclose(nll, nll_, rtol=1e-5, atol=1e-5)
  for gradient, gradient_ in zip(gradients, gradients_, strict=True):
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-5, atol=2e-5)


def test_tokens_are_gathered_while_they_are_not_many_more_than_the_vocabulary_has_rows(monkeypatch):
  monkeypatch.setattr(loss_layout, 'MOST_TOKENS', 1.5)
  mesh = make_mesh(MeshConfig(data=2, fsdp=4))
  layout = functools.partial(choose, mesh, ShardingRules())
  weights = Layout(column_axes=('fsdp',), sum_axes=('data',))
  tokens = Layout(token_axes=('fsdp',), sum_axes=('data',))
  # Half of the tokens are of devices that share the same weights.
  assert layout(tokens=300, vocabulary=100) == tokens
  assert layout(tokens=304, vocabulary=100) == weights
  assert layout(tokens=8, vocabulary=102) == weights  # which cannot be dealt out to four


def test_replicas_are_apart_from_other_copies():
  rules, tokens = ShardingRules(), 10**9
  layout = choose(make_mesh(MeshConfig(replica=2, data=2, sequence=2)), rules, tokens, V)
  assert layout == Layout(sum_axes=('data', 'sequence'), slice_axes=('replica',))


def compiled_text(gathered, monkeypatch, **mesh):
  monkeypatch.setattr(loss_layout, 'MOST_TOKENS', gathered)
  function = differentiate(make_mesh(MeshConfig(**mesh)), ShardingRules(), chunk=1)
  return function.lower(*random_inputs(0, B, L, D, V)).compile().as_text()


def numbers(text):
  """How many each array in a program has."""
  return {math.prod(map(int, shape.split(','))) for shape in re.findall(r'f32\[([\d,]+)\]', text)}


def test_no_device_has_the_whole_head_where_tokens_are_gathered(monkeypatch):
  assert max(numbers(compiled_text(TOKENS, monkeypatch, data=1, fsdp=8))) < D * V
  assert max(numbers(compiled_text(WEIGHTS, monkeypatch, data=1, fsdp=8))) == D * V


@pytest.mark.parametrize('gathered', [TOKENS, WEIGHTS], ids=['tokens', 'weights'])
def test_the_gradient_of_the_head_is_summed_over_devices_after_the_last_chunk(gathered, monkeypatch):
  text = compiled_text(gathered, monkeypatch, data=2, fsdp=4)
  loops, entry = text.split('\nENTRY ')
  part = D * V // 4  # of one of the four

  def sums(program):
    found = re.findall(r'= f32\[([\d,]+)\]\S* (?:all-reduce|reduce-scatter)\(', program)
    return [shape for shape in found if math.prod(map(int, shape.split(','))) >= part]

  assert not sums(loops)
  # Over 'fsdp', of which each keeps its part, and of that over 'data'; no whole one goes anywhere.
  assert len(sums(entry)) == (1 if gathered is TOKENS else 2)
  assert 'all-reduce' in entry and numbers('\n'.join(f'f32[{shape}]' for shape in sums(entry))) == {part}


def test_between_replicas_a_device_sends_its_part_of_what_was_summed_within(monkeypatch):
  text = compiled_text(TOKENS, monkeypatch, replica=2, data=2, fsdp=2)
  places = [Place(replica, ()) for replica in np.repeat([0, 1], 4).tolist()]
  sums = [c for c in collectives_of(parse(text), places) if c.slices == 2 and c.chips == 1]  # not the loss, over all
  assert {(c.kind, c.input_bytes) for c in sums} == {('all-reduce', 4 * D * V // 2 // 2)}
