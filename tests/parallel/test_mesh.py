"""A mesh has exactly the devices that there are."""

import math

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType

from codemix.errors import UserError
from codemix.parallel.mesh import MeshConfig, factorizations, make_mesh


@given(st.integers(1, 300))
def test_factorizations_are_all_products_once(devices):
  meshes = list(factorizations(devices))
  assert all(math.prod(mesh.sizes().values()) == devices for mesh in meshes)
  assert len(set(meshes)) == len(meshes)
  divisors = [n for n in range(1, devices + 1) if devices % n == 0]
  assert len(meshes) == sum(sum(divisor % other == 0 for other in divisors) for divisor in divisors)


@pytest.mark.parametrize(
  ('config', 'shape'),
  [
    (MeshConfig(), (8, 1, 1)),
    (MeshConfig(fsdp=4), (2, 4, 1)),
    (MeshConfig(data=1, fsdp=-1, tensor=2), (1, 4, 2)),
    (MeshConfig(data=2, fsdp=2, tensor=-1), (2, 2, 2)),
    (MeshConfig(data=8), (8, 1, 1)),
  ],
)
def test_the_free_axis_takes_what_is_left(config, shape):
  mesh = make_mesh(config)
  assert mesh.devices.shape == shape
  assert mesh.axis_names == ('data', 'fsdp', 'tensor')
  assert set(mesh.axis_types) == {AxisType.Auto}


def test_a_mesh_can_be_over_some_devices():
  mesh = make_mesh(MeshConfig(tensor=2), jax.devices()[:4])
  assert mesh.devices.shape == (2, 1, 2)
  assert set(mesh.devices.flat) == set(jax.devices()[:4])


@pytest.mark.parametrize('config', [MeshConfig(tensor=3), MeshConfig(2, 2, 1), MeshConfig(16)])
def test_a_mesh_that_does_not_fit_is_told_which_would(config):
  with pytest.raises(UserError, match='does not fit 8 devices: use') as error:
    make_mesh(config)
  message = str(error.value)
  listed = sorted(
    (mesh for mesh in factorizations(8) if f'({mesh})' in message),
    key=lambda mesh: message.index(f'({mesh})'),
  )
  assert len(listed) == 6
  assert 'or one of 4 more' in message and '\n' not in message
  kept = lambda mesh: len(config.sizes().items() & mesh.sizes().items())
  assert kept(listed[0]) == max(map(kept, factorizations(8)))


def test_one_device_has_one_mesh():
  with pytest.raises(UserError, match=r'fit 1 device: use \(data=1, fsdp=1, tensor=1\)\.'):
    make_mesh(MeshConfig(tensor=2), jax.devices()[:1])


@pytest.mark.parametrize(
  ('sizes', 'message'),
  [
    ({'data': 0}, 'MeshConfig.data is 0'),
    ({'fsdp': -2}, 'MeshConfig.fsdp is -2'),
    ({'tensor': 2.0}, 'MeshConfig.tensor is 2.0'),
    ({'data': -1, 'fsdp': -1}, 'only one axis can be -1'),
  ],
)
def test_a_wrong_size_is_named(sizes, message):
  with pytest.raises(UserError, match=message):
    MeshConfig(**sizes)
