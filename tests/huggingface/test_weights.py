"""Weights in safetensors: whole, in shards with an index; damage is found before a tensor is used."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.huggingface.weights import INDEX, ONE_FILE, open_weights, write_weights

TENSORS = {'a': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.ones(4, np.float32), 'c': np.full((2, 2), 1 / 3, np.float32)}
SIZES = {name: value.size for name, value in TENSORS.items()}
SHAPES = {name: value.shape for name, value in TENSORS.items()}


def write(folder, dtype='float32', shard_bytes=10**6):
  write_weights(folder, TENSORS.items(), SIZES, dtype, shard_bytes)
  return open_weights(folder)


def test_one_file_without_an_index(tmp_path):
  found = write(tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == [ONE_FILE]
  assert found.shapes == SHAPES
  assert all(np.array_equal(found.read(name), TENSORS[name]) for name in TENSORS)


def test_shards_hold_no_more_than_asked_and_the_index_names_them(tmp_path):
  found = write(tmp_path, shard_bytes=40)
  index = json.loads((tmp_path / INDEX).read_text())
  assert index == {
    'metadata': {'total_size': 56},
    'weight_map': {'a': 'model-00001-of-00002.safetensors', 'b': 'model-00001-of-00002.safetensors', 'c': 'model-00002-of-00002.safetensors'},
  }
  assert sorted(path.name for path in tmp_path.iterdir()) == [*sorted(set(index['weight_map'].values())), INDEX]
  assert all(np.array_equal(found.read(name), TENSORS[name]) for name in TENSORS)


def test_a_tensor_larger_than_a_shard_has_one_of_its_own(tmp_path):
  assert len(set(write(tmp_path, shard_bytes=1).files.values())) == 3


def test_bfloat16_is_the_nearest(tmp_path):
  found = write(tmp_path, 'bfloat16')
  assert found.dtypes['c'] == 'bfloat16'
  assert np.array_equal(found.read('c'), TENSORS['c'].astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
  ('expected', 'said'),
  [
    ({**SHAPES, 'd': (1,)}, 'it lacks d'),
    ({'a': (2, 3)}, 'it has besides b, c'),
    ({'a': (2, 3), 'b': (4,), 'cc': (2, 2)}, "Did you mean 'c'?"),
    ({**SHAPES, 'a': (3, 2)}, r'a is \[2, 3\], and config.json describes \[3, 2\]'),
  ],
)
def test_names_and_shapes_are_checked_before_a_tensor_is_read(tmp_path, expected, said):
  with pytest.raises(UserError, match=said):
    write(tmp_path).require(expected)


def test_ends_of_names_may_be_ignored(tmp_path):
  write(tmp_path).require({'a': (2, 3), 'b': (4,)}, ignored=('c',))


def cut(folder):
  path = folder / 'model-00001-of-00002.safetensors'
  path.write_bytes(path.read_bytes()[:-5])


def lose(folder):
  (folder / 'model-00002-of-00002.safetensors').unlink()


def garble(folder):
  (folder / 'model-00001-of-00002.safetensors').write_bytes(b'\xff' * 64)


def index_of(change):
  def damage(folder):
    index = json.loads((folder / INDEX).read_text())
    change(index['weight_map'])
    (folder / INDEX).write_text(json.dumps(index))

  return damage


@pytest.mark.parametrize(
  ('damage', 'said'),
  [
    (cut, 'is damaged'),
    (lose, 'does not exist, and model.safetensors.index.json names it'),
    (garble, 'is damaged'),
    (index_of(lambda names: names.update(z='model-00001-of-00002.safetensors')), 'lacks z, which'),
    (index_of(lambda names: names.pop('a')), 'which model.safetensors.index.json places in no file'),
    (index_of(lambda names: names.update(a='../secret.safetensors')), 'which is not in'),
    (lambda folder: (folder / INDEX).write_text('{'), 'is damaged'),
    (lambda folder: (folder / INDEX).write_text('{"weight_map": [1]}'), 'is damaged'),
  ],
)
def test_damage_is_one_line(tmp_path, damage, said):
  write(tmp_path, shard_bytes=40)
  damage(tmp_path)
  with pytest.raises(UserError, match=said) as error:
    open_weights(tmp_path)
  assert '\n' not in str(error.value)


def test_a_pickle_is_not_read(tmp_path):
  (tmp_path / 'pytorch_model.bin').write_bytes(b'cos\nsystem\n')
  with pytest.raises(UserError, match='has its weights in pytorch_model.bin.*loading a pickle runs code'):
    open_weights(tmp_path)


def test_integers_are_not_weights(tmp_path):
  from safetensors.numpy import save_file

  save_file({'a': np.arange(3)}, tmp_path / ONE_FILE)
  with pytest.raises(UserError, match='a is stored as I64'):
    open_weights(tmp_path)
