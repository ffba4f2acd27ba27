"""What is read out of a compiled program's text: loops, collectives, bytes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from codemix.planner import hlo
from codemix.planner.collectives import Place, by_kind, collectives_of
from codemix.planner.groups import groups_of
from codemix.planner.memory_traffic import memory_bytes
from tests.planner.program_text import SLICE, TEXT

# data 4 x fsdp 2 on a torus of 2 x 4: fsdp along its first side.
PLACES = [Place(0, (i % 2, i // 2)) for i in range(8)]


def test_a_loop_counts_as_often_as_it_runs_even_where_its_bound_is_carried():
  runs = {run.computation.name: (run.times, run.known) for run in hlo.parse(TEXT).runs()}
  assert runs == {'main': (1.0, True), 'body': (4.0, True)}


def test_a_loop_whose_count_is_not_told_counts_once_and_says_so():
  runs = {run.computation.name: (run.times, run.known) for run in hlo.parse(TEXT.replace('constant(4)', 'partition-id()')).runs()}
  assert runs['body'] == (1.0, False)


def test_a_count_that_the_compiler_gives_is_taken():
  told = TEXT.replace('body=%body', 'body=%body, backend_config={"known_trip_count":{"n":"6"}}')
  assert {run.computation.name: run.times for run in hlo.parse(told).runs()}['body'] == 6.0


def test_pieces_of_one_collective_count_once_and_a_fused_scatter_is_no_all_reduce():
  found = {c.kind: c for c in collectives_of(hlo.parse(TEXT), PLACES)}
  assert {kind: c.times for kind, c in found.items()} == {
    'all-gather': 4.0, 'reduce-scatter': 4.0, 'all-reduce': 1.0, 'collective-permute': 1.0
  }
  assert (found['all-gather'].chips, found['all-gather'].sides) == (2, (0,))
  assert (found['all-reduce'].chips, found['all-reduce'].sides) == (4, (1,))


def test_collectives_that_stand_beside_each_other_are_not_pieces_of_one():
  # Those of a `shard_map` in a loop that is unrolled bear the same channel and place in the source.
  mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ('data', 'fsdp'))
  turn = lambda x: jax.lax.all_to_all(x, 'fsdp', 0, 1, tiled=True).reshape(x.shape)
  exchange = jax.shard_map(turn, mesh=mesh, in_specs=PartitionSpec('fsdp'), out_specs=PartitionSpec('fsdp'))
  step = lambda x, _: (jnp.sin(exchange(x)), None)
  call = jax.jit(lambda x: jax.lax.scan(step, x, length=6, unroll=3)[0])
  program = hlo.parse(call.lower(jnp.ones((8, 8))).compile().as_text())
  exchanges = [c for c in collectives_of(program, PLACES) if c.kind == 'all-to-all']
  assert sum(c.times for c in exchanges) == 6


def test_bytes_sent_are_those_of_the_ring_algorithms():
  sent = {t.kind: t.sent_bytes for t in by_kind(collectives_of(hlo.parse(TEXT), PLACES))}
  assert sent == {
    'all-gather': 4 * 256,  # four layers; each of two chips sends its 16 x 8 bfloat16 to the other
    'reduce-scatter': 4 * 512 / 2,  # half of 32 x 8 bfloat16
    'all-reduce': 2 * 1024 * 3 / 4,  # 32 x 8 float32, twice around four chips
    'collective-permute': 1024,
  }


def test_between_slices_only_the_share_that_is_left_inside_is_sent():
  two_slices = [Place(i // 4, (i % 2, i % 4 // 2)) for i in range(8)]
  reduced = next(c for c in collectives_of(hlo.parse(TEXT), two_slices) if c.kind == 'all-reduce')
  assert (reduced.chips, reduced.slices) == (2, 2)
  assert reduced.sent_over_links() == 2 * 1024 / 2
  assert reduced.sent_over_network() == 2 * 512 / 2


def test_a_slices_program_sends_to_the_others_through_its_hosts():
  three_slices = [Place(i // 2, (i % 2,)) for i in range(6)]
  sent = {(t.kind, t.over): t.sent_bytes for t in by_kind(collectives_of(hlo.parse(SLICE), three_slices))}
  assert sent == {('all-reduce', 'links'): 2 * 512 / 2, ('all-reduce', 'network'): 2 * 512 * 2 / 3}


def test_memory_traffic_takes_the_slices_of_a_stack_and_leaves_out_what_lies_on_the_chip():
  a_layer, x, scattered = 256, 512, 0
  counter = 3 * 4  # i + 1
  body = x + 2 * (a_layer + 4) + (x + scattered) + counter  # a kernel, two pieces, the scatter
  outside = (512 + 512 + 1024) + 2 * 1024 + 2 * 1024 + 2 * 4  # square, all-reduce, permute, copy
  assert memory_bytes(hlo.parse(TEXT)) == 4 * body + outside


@pytest.mark.parametrize(
  ('notation', 'groups'),
  [
    ('replica_groups={{0,2},{1,3}}', [[0, 2], [1, 3]]),
    ('replica_groups={}', [[0, 1, 2, 3]]),
    ('replica_groups=[2,2]<=[4]', [[0, 1], [2, 3]]),
    ('replica_groups=[2,2]<=[2,2]T(1,0)', [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(2)2}", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(1)2}", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}", [[0, 1, 2, 3]]),
    ('source_target_pairs={{0,1},{1,2}}', [[0, 1], [1, 2]]),
  ],
)
def test_every_notation_of_groups_names_the_same_devices(notation, groups):
  np.testing.assert_array_equal(groups_of(notation, 4), groups)


def test_types_of_a_tuple_are_read_with_their_memory():
  shapes = hlo.shapes_of('(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, /*index=1*/s4[8]{0}, pred[], f8e4m3fn[5])')
  assert [(s.bytes, s.space) for s in shapes] == [(12, 1), (4, 0), (1, 0), (5, 0)]
