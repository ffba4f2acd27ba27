"""Topologies as users write them."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.parallel import topology
from codemix.parallel.topology import Topology, parse_topology, topology_devices


@pytest.mark.parametrize(
  ('text', 'slices', 'chips'),
  [('v5e:16x16', 1, 256), ('v5e:16x16', 2, 512), ('V6E:8x8', 1, 64), ('v5p:4x4x12', 1, 192), ('v4:2x2x1', 1, 4), ('cpu:8', 1, 8)],
)
def test_a_topology_that_can_be_booked_is_taken(text, slices, chips):
  assert parse_topology(text, slices).chips == chips


@pytest.mark.parametrize(
  ('text', 'named'),
  [
    ('v5e:16x32', 'v5e:16x16'),
    ('v5e:3x5', 'v5e:4x4'),
    ('v5p:4x4x6', 'v5p:4x4x8'),
    ('v5p:16x16', 'v5p:'),
    ('v4:16x16x32', 'v4:'),
    ('v7:2x2', 'v4, v5e, v5p, v6e'),
    ('v5litepod-256', 'v5e'),
    ('v5e', 'v5e:4x4'),
    ('v5e:16', 'v5e:'),
    ('v5e:axb', 'v5e:4x4'),
    ('cpu:2x4', 'cpu:8'),
    ('cpu:0', 'cpu:8'),
  ],
)
def test_any_other_is_refused_with_what_there_is(text, named):
  with pytest.raises(UserError) as refused:
    parse_topology(text)
  assert named in str(refused.value) and '\n' not in str(refused.value)


def test_slices_are_at_least_one():
  with pytest.raises(UserError, match='--slices'):
    parse_topology('v5e:4x4', 0)


def test_only_full_sides_are_rings():
  assert Topology('v5e', (16, 16)).wraps(0) and not Topology('v5e', (8, 16)).wraps(0)
  assert Topology('v5p', (4, 4, 8)).wraps(2) and not Topology('v5p', (2, 2, 4)).wraps(0)


def test_a_missing_tpu_compiler_names_the_extra(monkeypatch):
  monkeypatch.setattr(topology.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r'codemix\[tpu\]'):
    topology_devices(Topology('v5e', (2, 2)))


def test_virtual_devices_are_as_many_as_asked_for_and_no_more_than_there_are():
  assert len(topology_devices(Topology('cpu', (4,)))) == 4
  with pytest.raises(UserError, match='XLA_FLAGS'):
    topology_devices(Topology('cpu', (64,)))
