"""Checkpoints: what was damaged, cut off or exchanged is found before it is used."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts

from codemix.checkpoints import Checkpoints, damage, seal
from codemix.errors import StorageUnavailable, UserError
from codemix.storage import as_path, remove

POSITION = {'stage': 'abc', 'row': 7, 'realised': {'text': {'rows': 3}, 'code': {'rows': 4}}}


def state(step: int, width: int = 4) -> dict:
  return {'params': {'scale': jnp.full((2, width), step, jnp.float32)}, 'step': jnp.int32(step)}


# What JAX raised in a run whose other process was killed.
LOST = 'UNKNOWN: Gloo AllGather failed: [external/gloo/gloo/transport/tcp/pair.cc:538] Read error [127.0.0.1]:2469: Connection reset by peer'


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> Path:
  """A folder with the checkpoints of steps 4 and 8."""
  folder = tmp_path_factory.mktemp('saved') / 'checkpoints'
  with contextlib.closing(Checkpoints(folder, keep=2)) as checkpoints:
    for step in (2, 4, 8):
      checkpoints.save(step, state(step), POSITION)
    checkpoints.wait()
  return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
  return Path(shutil.copytree(saved, tmp_path / 'checkpoints'))


def flip(path: Path) -> None:
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


HARM = {
  'flipped': flip,
  'cut': lambda path: path.write_bytes(path.read_bytes()[:-1]),
  'emptied': lambda path: path.write_bytes(b''),
  'deleted': lambda path: path.unlink(),
}


def files(folder: Path, step: int) -> list[str]:
  inside = [path for path in (folder / str(step)).rglob('*') if path.is_file() and path.stat().st_size]
  return sorted(str(path.relative_to(folder / str(step))) for path in inside)


@pytest.mark.parametrize('harm', HARM)
def test_harm_to_any_file_is_found_and_the_checkpoint_before_is_used(harm, folder):
  names = files(folder, 8)
  assert len(names) > 8
  whole = folder.with_name('whole')
  folder.rename(whole)
  for name in names:
    shutil.copytree(whole, folder)
    HARM[harm](folder / '8' / name)
    assert name in damage(folder, 8)
    warnings: list[str] = []
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
      assert checkpoints.newest('previous', warnings.append) == 4
      assert checkpoints.restore_position(4) == POSITION
    assert [str(folder / '8') in warning and name in warning for warning in warnings] == [True]
    shutil.rmtree(folder)


@pytest.mark.parametrize('harm', HARM)
def test_a_damaged_checkpoint_stops_the_run_where_that_is_asked_for(harm, folder):
  name = files(folder, 8)[-1]
  HARM[harm](folder / '8' / name)
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    with pytest.raises(UserError, match='is damaged') as refused:
      checkpoints.newest('stop', pytest.fail)
    assert str(folder / '8') in str(refused.value)
    assert name in str(refused.value)
    assert '\n' not in str(refused.value)
  assert (folder / '8').is_dir()  # nothing was deleted


def test_a_damaged_digest_file_makes_its_checkpoint_a_damaged_one(folder):
  (folder / '8.digest.json').write_text('{"state/d/0": [1, ')
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    with pytest.raises(UserError, match='is damaged: its digest file'):
      checkpoints.newest('stop', pytest.fail)
    assert checkpoints.newest('previous', lambda warning: None) == 4


def test_a_file_that_was_added_is_damage_too(folder):
  (folder / '8' / 'state' / 'more').write_bytes(b'1')
  assert damage(folder, 8) == 'its file state/more was added'


def test_a_checkpoint_without_digest_was_cut_off_and_is_passed_over_either_way(folder):
  (folder / '8.digest.json').unlink()
  warnings: list[str] = []
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    assert checkpoints.newest('stop', warnings.append) == 4
  assert 'not completely written' in warnings[0]
  assert not (folder / '8').exists()  # so that step 8 can be saved again


def test_where_none_is_good_there_is_none(folder):
  for step in (4, 8):
    flip(folder / str(step) / 'position' / 'metadata')
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    assert checkpoints.newest('previous', lambda warning: None) is None


def test_after_a_damaged_checkpoint_its_step_is_saved_anew(folder):
  flip(folder / '8' / 'position' / 'metadata')
  with contextlib.closing(Checkpoints(folder, keep=2)) as checkpoints:
    assert checkpoints.newest('previous', lambda warning: None) == 4
    checkpoints.save(8, state(80), POSITION)
    checkpoints.wait()
    assert damage(folder, 8) is None
    restored = checkpoints.restore_state(8, jax.eval_shape(lambda: state(0)))
  np.testing.assert_array_equal(restored['params']['scale'], state(80)['params']['scale'])


def test_the_newest_are_kept_with_their_digests(saved):
  assert {path.name for path in saved.iterdir()} == {'4', '4.digest.json', '8', '8.digest.json'}


def test_only_the_exact_checkpoint_that_was_asked_for_is_accepted(folder):
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    wanted = checkpoints.digest(8)
    checkpoints.require(8, wanted)
    with pytest.raises(UserError, match='another than the one'):
      checkpoints.require(8, checkpoints.digest(4))
    with pytest.raises(UserError, match='it is missing'):
      checkpoints.require(6, wanted)
    flip(folder / '8' / 'position' / 'metadata')
    with pytest.raises(UserError, match='position/metadata has changed'):
      checkpoints.require(8, wanted)


def test_another_checkpoint_put_in_its_place_is_refused_even_when_whole(folder):
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    wanted = checkpoints.digest(8)
  shutil.rmtree(folder / '8')
  (folder / '4').rename(folder / '8')
  (folder / '4.digest.json').rename(folder / '8.digest.json')
  exchanged = contextlib.closing(Checkpoints(folder))
  with exchanged as checkpoints, pytest.raises(UserError, match='another than the one'):
    checkpoints.require(8, wanted)


def test_a_checkpoint_of_another_shape_is_refused_with_the_arrays_that_differ(folder):
  says = r'params.scale: .float32\[2,5\]. expected, .float32\[2,4\]. found'
  whole = contextlib.closing(Checkpoints(folder))
  with whole as checkpoints, pytest.raises(UserError, match=says):
    checkpoints.restore_state(8, jax.eval_shape(lambda: state(0, width=5)))


def test_a_collective_with_a_lost_process_is_not_called_damage(folder, monkeypatch):
  def fail(*_, **__):
    raise ValueError(LOST)

  with contextlib.closing(Checkpoints(folder)) as checkpoints, pytest.raises(ValueError, match='Gloo'):
    monkeypatch.setattr(checkpoints._manager, 'restore', fail)
    checkpoints.restore_position(8)


def test_the_position_keeps_the_order_of_its_sources(folder):
  # The ledger's bytes follow from it.
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    assert list(checkpoints.restore_position(8)['realised']) == ['text', 'code']


def test_parameters_can_be_read_without_the_rest(folder):
  target = jax.eval_shape(lambda: state(0)['params'])
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    np.testing.assert_array_equal(checkpoints.restore_params(8, target)['scale'], state(8)['params']['scale'])
    with pytest.raises(UserError, match=r'another model: params.scale'):
      checkpoints.restore_params(8, jax.eval_shape(lambda: state(0, width=5)['params']))


def test_arrays_in_a_form_whose_parts_cannot_be_counted_are_no_checkpoint(tmp_path):
  with pytest.raises(NotImplementedError, match='has nothing'):
    seal.require_every_chunk(tmp_path)
  store = ts.KvStore.open({'driver': 'ocdbt', 'base': tmp_path.as_uri()}).result()
  store.write(b'params.scale/zarr.json', b'{}').result()  # zarr 3
  with pytest.raises(NotImplementedError, match='params.scale'):
    seal.require_every_chunk(tmp_path)


def test_a_save_without_all_parts_of_its_arrays_is_no_checkpoint(folder):
  step = max(int(path.name) for path in folder.glob('[0-9]*') if path.is_dir())
  seal.require_every_chunk(folder / str(step) / 'state')
  store = ts.KvStore.open({'driver': 'ocdbt', 'base': (folder / str(step) / 'state').as_uri()}).result()
  chunk = next(key for key in store.list().result() if not key.endswith(b'.zarray'))
  store.delete_range(ts.KvStore.KeyRange(chunk, chunk + b'\0')).result()
  with pytest.raises(UserError, match='all processes must write to the same folder'):
    seal.require_every_chunk(folder / str(step) / 'state')

READ_THE_DOCS = re.search(
  r'### Without codemix.*?```python\n(.*?)```', (Path(__file__).parents[1] / 'docs/reference/files.md').read_text(), re.DOTALL
)[1]


@pytest.fixture(scope='module')
def sharded(tmp_path_factory) -> Path:
  """The state of a checkpoint whose arrays lay on eight devices."""
  folder = tmp_path_factory.mktemp('sharded') / 'checkpoints'
  rows = jax.sharding.NamedSharding(jax.make_mesh((8,), ('rows',)), jax.sharding.PartitionSpec('rows'))
  array = jax.device_put(jnp.arange(32, dtype=jnp.float32).reshape(8, 4), rows)
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    checkpoints.save(150, {'params': {'scale': array}, 'opt_state': (array + 1, jnp.int32(150))}, POSITION)
    checkpoints.wait()
  return folder / '150' / 'state'


@pytest.mark.parametrize(
  'instead', ['ocp.PyTreeCheckpointer()', 'ocp.StandardCheckpointer()', 'ocp.Checkpointer(ocp.PyTreeCheckpointHandler())']
)
def test_the_lines_of_the_docs_read_a_checkpoint_with_orbax_alone_on_one_device(instead, sharded):
  lines, count = re.subn(r"(?m)^path = '.*'$", f'path = {str(sharded)!r}', READ_THE_DOCS)
  assert count == 1
  lines = lines.replace('ocp.PyTreeCheckpointer()', instead) + (
    '\nimport sys, jax, numpy as np'
    "\nassert jax.device_count() == 1 and 'codemix' not in sys.modules"
    "\nnp.testing.assert_array_equal(state['params']['scale'], np.arange(32, dtype=np.float32).reshape(8, 4))"
    "\nassert type(state['params']['scale']) is np.ndarray and int(state['opt_state'][1]) == 150"
  )
  environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  ran = subprocess.run([sys.executable, '-c', lines], env=environment, cwd=sharded, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr
  assert "dict_keys(['scale'])" in ran.stdout
  assert 'WARNING' not in ran.stderr


def test_the_state_by_itself_says_what_wrote_it(sharded):
  found = ocp.PyTreeCheckpointer().metadata(sharded)
  assert found.item_handlers.endswith('PyTreeCheckpointHandler')
  assert found.item_metadata.tree['params']['scale'].shape == (8, 4)


def test_checkpoints_that_call_their_arrays_those_of_jax_restore_as_before(sharded, tmp_path):
  # As codemix wrote them before other programs could read them.
  folder = shutil.copytree(sharded.parent.parent, tmp_path / 'checkpoints')
  metadata = folder / '150' / 'state' / '_METADATA'
  metadata.write_text(metadata.read_text().replace('"np.ndarray"', '"jax.Array"'))
  (folder / '150' / 'state' / '_CHECKPOINT_METADATA').unlink()
  columns = jax.sharding.NamedSharding(jax.make_mesh((2,), ('columns',)), jax.sharding.PartitionSpec(None, 'columns'))
  place = lambda shape, dtype, where: jax.ShapeDtypeStruct(shape, dtype, sharding=where)
  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  scale = place((8, 4), jnp.float32, columns)
  for at in (folder, sharded.parent.parent):
    with contextlib.closing(Checkpoints(at)) as checkpoints:
      target = {'params': {'scale': scale}, 'opt_state': (scale, place((), jnp.int32, here))}
      restored = checkpoints.restore_state(150, target)
      assert restored['params']['scale'].sharding == columns
      np.testing.assert_array_equal(restored['params']['scale'], np.arange(32).reshape(8, 4))
      np.testing.assert_array_equal(checkpoints.restore_params(150, target['params'])['scale'], np.arange(32).reshape(8, 4))


@pytest.mark.parametrize('name', ['run[12]', 'a*b', 'what?', 'a#b c', '100%', 'back\\slash', 'gs:', 'größer', os.fsdecode(b'caf\xe9')])
def test_in_a_folder_of_any_name_checkpoints_are_its_own(name, tmp_path):
  target = jax.eval_shape(lambda: state(0))
  for number, folder in enumerate(('run1', 'axb', 'whatx', name)):
    with contextlib.closing(Checkpoints(tmp_path / folder / 'checkpoints')) as checkpoints:
      checkpoints.save(4, state(number), POSITION)
      checkpoints.wait()
  with contextlib.closing(Checkpoints(tmp_path / name / 'checkpoints')) as checkpoints:
    assert checkpoints.newest('stop', pytest.fail) == 4
    assert checkpoints.restore_position(4) == POSITION
    np.testing.assert_array_equal(checkpoints.restore_state(4, target)['params']['scale'], state(3)['params']['scale'])
    with pytest.raises(UserError, match=re.escape(f'{tmp_path / name}')):
      checkpoints.require(5, 'x')


def test_every_so_many_steps_one_is_kept_for_ever(tmp_path):
  with contextlib.closing(Checkpoints(tmp_path / 'c', keep=1, keep_every=6)) as checkpoints:
    for step in range(2, 21, 2):
      checkpoints.save(step, state(step), POSITION)
    checkpoints.wait()
    assert steps_in(tmp_path / 'c') == [6, 12, 18, 20]
    checkpoints.delete_before(20)
    assert steps_in(tmp_path / 'c') == [6, 12, 18, 20]


def steps_in(folder) -> list[int]:
  return sorted(int(path.name.split('.')[0]) for path in folder.glob('*.digest.json'))


def test_a_bucket_that_is_away_while_a_checkpoint_is_restored_is_not_damage(bucket, monkeypatch):
  with contextlib.closing(Checkpoints(as_path(f'{bucket}/away'))) as checkpoints:
    checkpoints.save(2, state(2), POSITION)
    checkpoints.wait()

    def away(*_, **__):
      raise ValueError("UNAVAILABLE: Error reading gs://b/x [http_response_code='503']")

    monkeypatch.setattr(checkpoints._manager, 'restore', away)
    with pytest.raises(StorageUnavailable, match='does not answer'):
      checkpoints.restore_position(2)


def test_a_folder_of_a_bucket_that_vanishes_while_it_is_listed_has_no_checkpoints(bucket, monkeypatch):
  folder = as_path(f'{bucket}/vanishing')
  with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
    (folder / '4.left' / 'state').write_bytes(b'')
    names, there = type(checkpoints._manager._step_name_format), []

    def clean_up_and_list(self, base_path):  # Orbax has asked before whether the folder is there
      there.append(folder.exists())
      remove(folder)
      return self._glob_step_paths(base_path)

    monkeypatch.setattr(names, 'find_all', clean_up_and_list)
    checkpoints._manager.reload()
    assert checkpoints._manager.all_steps() == [] and there == [True]


def test_a_sealed_checkpoint_that_is_gone_is_passed_over_with_a_word_or_ends_the_run(folder):
  newest = max(steps_in(folder))
  shutil.rmtree(folder / str(newest))
  with contextlib.closing(Checkpoints(folder)) as checkpoints, pytest.raises(UserError, match='is damaged: it was saved, and is missing'):
    checkpoints.newest('stop', print)
  said: list[str] = []
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    assert checkpoints.newest('previous', said.append) < newest
  [line] = said
  assert f'{newest} is passed over: it was saved, and is missing' in line and newest not in steps_in(folder)


def test_a_checkpoint_of_a_bucket_without_its_mark_of_being_whole_is_passed_over_with_a_word(bucket):
  folder = as_path(f'{bucket}/unmarked')
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    for step in (2, 4):
      checkpoints.save(step, state(step), POSITION)
    checkpoints.wait()
  marks = [path for path in (folder / '4').iterdir() if path.name.startswith('commit_success')]
  assert marks
  remove(marks[0])
  said: list[str] = []
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    assert checkpoints.newest('previous', said.append) == 2
  assert len(said) == 1 and f'{folder}/4 is passed over: it was saved' in said[0]
