"""An array's digest is that of its bits, wherever its parts lie; a restored array with another bit is named."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from codemix.checkpoints import Checkpoints, seal
from codemix.checkpoints.array_digests import array_digests, first_difference
from codemix.errors import UserError
from tests.gcs import free_port

STEP = 8
SHAPE = (16, 8, 24)


def numbers() -> np.ndarray:
  return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) ** 1.5


def placed(spec: PartitionSpec, devices: tuple[int, ...] = (4, 2)) -> jax.Array:
  mesh = jax.make_mesh(devices, ('a', 'b')[: len(devices)])
  return jax.device_put(numbers(), NamedSharding(mesh, spec))


@pytest.fixture(scope='module')
def digest() -> str:
  return array_digests({'x': jnp.asarray(numbers())})['x']


@pytest.mark.parametrize('spec', [(), ('a',), ('a', 'b'), (None, 'b', 'a'), (('a', 'b'),)], ids=str)
def test_it_does_not_depend_on_the_mesh(spec, digest):
  assert array_digests({'x': placed(PartitionSpec(*spec))}) == array_digests({'x': numbers()}) == {'x': digest}


WORKER = """
import sys
import jax, numpy as np
from codemix.checkpoints.array_digests import array_digests
from codemix.parallel import processes
from tests.test_array_digests import SHAPE, numbers

processes.initialize(f'localhost:{sys.argv[2]}', 2, int(sys.argv[1]), timeout_s=60)
rows = jax.sharding.NamedSharding(jax.make_mesh((2,), ('a',)), jax.sharding.PartitionSpec('a'))
print('digest', array_digests({'x': jax.make_array_from_callback(SHAPE, rows, lambda where: numbers()[where])})['x'], flush=True)
processes.leave(0)
"""


def test_it_does_not_depend_on_the_number_of_processes(digest, monkeypatch):
  monkeypatch.delenv('XLA_FLAGS', raising=False)  # a device each
  port = free_port()
  workers = [subprocess.Popen([sys.executable, '-c', WORKER, str(index), str(port)], stdout=subprocess.PIPE, text=True) for index in (0, 1)]
  for output in [worker.communicate(timeout=120)[0] for worker in workers]:
    assert f'digest {digest}\n' in output


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16', 'int8', 'int32', 'bool', 'float64', 'int64'])
def test_every_bit_and_every_place_counts(dtype):
  with jax.enable_x64(dtype.endswith('64')):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    array = np.zeros((3, 5), kind)
    found = {array_digests({'x': array})['x']}
    bits = array.view(np.uint8).reshape(15, -1)
    for element in range(15):
      for bit in range(1 if dtype == 'bool' else 8 * kind.itemsize):
        bits[element, bit // 8] ^= 1 << bit % 8
        found.add(array_digests({'x': array})['x'])
        bits[element, bit // 8] ^= 1 << bit % 8
    assert len(found) == 1 + 15 * (1 if dtype == 'bool' else 8 * kind.itemsize)


def test_arrays_that_hold_the_same_numbers_elsewhere_differ(digest):
  array = numbers()
  others = [np.swapaxes(array, 0, 1), array[::-1], np.roll(array, 1), array.reshape(8, 16, 24), array[:, :, :12]]
  found = [array_digests({'x': other})['x'] for other in others]
  assert len({digest, *found}) == 1 + len(others)
  assert array_digests({'scalar': jnp.int32(3), 'empty': np.zeros((0, 4), np.float32)}) != array_digests({'scalar': jnp.int32(4), 'empty': np.zeros((0, 4), np.float32)})


def test_the_first_array_that_differs_is_named():
  state = {'params': {'scale': numbers()}, 'step': jnp.int32(7)}
  saved = array_digests(state)
  assert first_difference(state, saved) is None and first_difference({'params': state['params']}, saved) is None
  assert first_difference({**state, 'step': jnp.int32(8)}, saved) == 'step'
  assert first_difference({**state, 'more': jnp.int32(8)}, saved) == 'more'


def state() -> dict:
  return {'params': {'scale': placed(PartitionSpec('a'))}, 'moments': (placed(PartitionSpec('b')), jnp.int32(STEP))}


def target(spec: PartitionSpec, devices: tuple[int, ...]) -> dict:
  shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(jax.make_mesh(devices, ('a', 'b')[: len(devices)]), spec if leaf.ndim else PartitionSpec()))
  return jax.tree.map(shape, state())


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('arrays') / 'checkpoints'
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    checkpoints.save(STEP, state(), {'row': 3})
    checkpoints.wait()
  return folder


@pytest.mark.parametrize(('spec', 'devices'), [((None, 'a'), (8,)), (('b', None, 'a'), (2, 4)), ((), (1,))], ids=str)
def test_a_state_is_verified_when_it_is_restored_onto_any_mesh(saved, spec, devices, monkeypatch):
  onto, restore = target(PartitionSpec(*spec), devices), ocp.CheckpointManager.restore

  def with_one_bit_flipped(manager, step, args):
    found = restore(manager, step, args=args)
    if 'state' in args.keys():  # noqa: SIM118 (not a dict)
      scale = found['state']['params']['scale']
      changed = np.array(scale)
      changed.view(np.uint32)[2, 3, 5] ^= 1
      found['state']['params']['scale'] = jax.device_put(changed, scale.sharding)
    return found

  with contextlib.closing(Checkpoints(saved, read_only=True)) as checkpoints:
    restored = checkpoints.restore_state(STEP, onto)
    assert restored['params']['scale'].sharding == onto['params']['scale'].sharding and checkpoints.restore_position(STEP) == {'row': 3}
    monkeypatch.setattr(ocp.CheckpointManager, 'restore', with_one_bit_flipped)
    said = rf'the array params\.scale of step {STEP}, restored from the checkpoint {saved}/{STEP}, is not the one that was saved'
    with pytest.raises(UserError, match=said):
      checkpoints.restore_state(STEP, onto)
    with pytest.raises(UserError, match=said):
      checkpoints.restore_params(STEP, onto['params'])


def test_a_checkpoint_of_an_earlier_codemix_has_no_digests_and_damaged_ones_are_named(saved, tmp_path):
  folder = Path(shutil.copytree(saved, tmp_path / 'checkpoints'))
  path, onto = folder / str(STEP) / 'position' / 'metadata', target(PartitionSpec(), (1,))

  def restored_with(digests: dict) -> dict:
    path.write_text(json.dumps({'row': 3, **digests}))
    seal.seal(folder / str(STEP))
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
      return checkpoints.restore_state(STEP, onto)

  np.testing.assert_array_equal(restored_with({})['params']['scale'], numbers())
  for wrong, said in (({'params.scale': 7}, 'is damaged'), ([], 'is damaged'), ({}, 'is not the one that was saved')):
    with pytest.raises(UserError, match=said):
      restored_with({'array_digests': wrong})
