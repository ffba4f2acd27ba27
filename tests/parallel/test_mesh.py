"""A mesh has exactly the devices that there are."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType

from codemix.errors import UserError
from codemix.parallel.mesh import AXES, MeshConfig, factorizations, make_mesh


@given(st.integers(1, 200))
@settings(deadline=None)
def test_factorizations_are_all_products_once(devices):
  meshes = list(factorizations(devices))
  assert all(math.prod(mesh.sizes().values()) == devices for mesh in meshes)
  assert len(set(meshes)) == len(meshes)
  # A prime factor that occurs n times is handed out to 5 axes in (n + 4 choose 4) ways.
  assert len(meshes) == math.prod(math.comb(n + 4, 4) for n in multiplicities(devices))


def multiplicities(number):
  """How often each prime factor of a number occurs."""
  for factor in range(2, number + 1):
    times = 0
    while number % factor == 0:
      number, times = number // factor, times + 1
    if times:
      yield times


@pytest.mark.parametrize(
  ('config', 'shape'),
  [
    (MeshConfig(), (1, 8, 1, 1, 1)),
    (MeshConfig(fsdp=4), (1, 2, 4, 1, 1)),
    (MeshConfig(data=1, fsdp=-1, tensor=2), (1, 1, 4, 1, 2)),
    (MeshConfig(data=2, fsdp=2, tensor=-1), (1, 2, 2, 1, 2)),
    (MeshConfig(replica=2, sequence=4), (2, 1, 1, 4, 1)),
    (MeshConfig(data=8), (1, 8, 1, 1, 1)),
  ],
)
def test_the_free_axis_takes_what_is_left(config, shape):
  mesh = make_mesh(config)
  assert mesh.devices.shape == shape
  assert mesh.axis_names == ('replica', 'data', 'fsdp', 'sequence', 'tensor')
  assert set(mesh.axis_types) == {AxisType.Auto}


def test_a_mesh_can_be_over_some_devices():
  mesh = make_mesh(MeshConfig(tensor=2), jax.devices()[:4])
  assert mesh.devices.shape == (1, 2, 1, 1, 2)
  assert set(mesh.devices.flat) == set(jax.devices()[:4])


@pytest.mark.parametrize('config', [MeshConfig(tensor=3), MeshConfig(data=2, fsdp=2), MeshConfig(data=16)])
def test_a_mesh_that_does_not_fit_is_refused_with_those_that_do(config):
  with pytest.raises(UserError, match='does not fit 8 devices: use') as error:
    make_mesh(config)
  message = str(error.value)
  listed = sorted(
    (mesh for mesh in factorizations(8) if f'({mesh})' in message),
    key=lambda mesh: message.index(f'({mesh})'),
  )
  assert len(listed) == 6
  assert 'or one of 29 more' in message and '\n' not in message
  kept = lambda mesh: len(config.sizes().items() & mesh.sizes().items())
  assert kept(listed[0]) == max(map(kept, factorizations(8)))


def test_one_device_has_one_mesh():
  only = r'\(replica=1, data=1, fsdp=1, sequence=1, tensor=1\)\.'
  with pytest.raises(UserError, match=f'fit 1 device: use {only}'):
    make_mesh(MeshConfig(tensor=2), jax.devices()[:1])


@dataclasses.dataclass(frozen=True)
class Chip:
  """As much of a device as laying out a mesh of several slices looks at."""

  id: int
  slice_index: int
  platform: str = 'fake'
  device_kind: str = 'chip'
  process_index: int = 0


def chips(slices: int, each: int) -> list[Chip]:
  """The devices of several slices, mixed."""
  return sorted((Chip(i, i % slices) for i in range(slices * each)), key=lambda chip: chip.id)


def slices_along(mesh, axis: str) -> bool:
  """Whether going along an axis leads from slice to slice."""
  of = np.vectorize(lambda chip: chip.slice_index)(mesh.devices)
  along = np.moveaxis(of, mesh.axis_names.index(axis), 0)
  return bool((along != along[:1]).any())


@pytest.mark.parametrize(
  ('config', 'crossing'),
  [
    (MeshConfig(replica=2, data=1, fsdp=4), {'replica'}),
    (MeshConfig(replica=2, data=1, sequence=2, tensor=2), {'replica'}),
    (MeshConfig(replica=4, data=1, fsdp=2), {'replica'}),  # two replicas in each slice
    (MeshConfig(data=2, fsdp=4), {'data'}),
    (MeshConfig(data=1, fsdp=8), {'fsdp'}),  # GPU nodes: each is a slice
  ],
)
def test_slices_lie_along_the_outermost_axis_that_has_room(config, crossing):
  mesh = make_mesh(config, chips(2, 4))
  assert {axis for axis in AXES if slices_along(mesh, axis)} == crossing
  assert len(set(mesh.devices.flat)) == 8


def test_four_slices_can_lie_along_two_axes():
  mesh = make_mesh(MeshConfig(replica=2, data=4, tensor=2), chips(4, 4))
  assert {axis for axis in AXES if slices_along(mesh, axis)} == {'replica', 'data'}


@pytest.mark.parametrize('config', [MeshConfig(data=1, tensor=8), MeshConfig(data=1, sequence=4, tensor=2)])
def test_positions_and_heads_stay_inside_a_slice(config):
  with pytest.raises(UserError, match='does not fit 2 slices of 4 devices.*replica, data, fsdp may cross: use') as error:
    make_mesh(config, chips(2, 4))
  suggested = [mesh for mesh in factorizations(8, 2) if f'({mesh})' in str(error.value)]
  assert len(suggested) == 6
  for mesh in suggested:
    make_mesh(mesh, chips(2, 4))


@pytest.mark.parametrize(
  ('sizes', 'message'),
  [
    ({'data': 0}, 'MeshConfig.data is 0'),
    ({'fsdp': -2}, 'MeshConfig.fsdp is -2'),
    ({'tensor': 2.5}, 'MeshConfig.tensor is 2.5'),
    ({'data': -1, 'fsdp': -1}, 'only one axis can be -1'),
  ],
)
def test_a_wrong_size_is_named(sizes, message):
  with pytest.raises(UserError, match=message):
    MeshConfig(**sizes)
