"""`codemix bench attention` at a length at which its figures mean nothing but are all there."""

import pytest

from codemix.benchmarks import attention
from codemix.errors import UserError

TINY = attention.Size(length=16, rows=2, kv_heads=2, head_dim=8, documents=2, repeats=1)


def test_every_implementation_has_its_times_and_memory_and_is_held_against_xla(tmp_path):
  figures = {figure.name: figure for figure in attention.measure(tmp_path, TINY)}
  names = list(attention.available(TINY))
  assert 'xla' in names and len(names) > 1
  parts = ('forward', 'forward and backward', 'memory, forward', 'memory, forward and backward')
  shape = 'float32 2x16x4x8'
  expected = {f'{name}, {shape}: {part}' for name in names for part in parts}
  expected |= {f'{name}, {shape}: times as fast as xla' for name in names if name != 'xla'}
  assert set(figures) == expected
  whole = {name: figures[f'{name}, {shape}: forward and backward'].value for name in names}
  for name in set(names) - {'xla'}:
    ratio = figures[f'{name}, {shape}: times as fast as xla'].value
    assert ratio == pytest.approx(whole['xla'] / whole[name])
  assert list(tmp_path.iterdir()) == []


def test_where_the_scores_of_all_pairs_do_not_fit_xla_is_left_out(monkeypatch):
  monkeypatch.setattr(attention, 'SCORES_MIB', 4 * 2 * 4 * 16**2 / 2**20)
  assert 'xla' in attention.available(TINY)
  monkeypatch.setattr(attention, 'SCORES_MIB', 4 * 2 * 4 * 16**2 / 2**20 - 1e-6)
  assert 'xla' not in list(attention.available(TINY))


def test_each_key_value_head_belongs_to_as_many_heads():
  with pytest.raises(UserError, match=r'^--size=kv_heads=3: it must divide heads = 4\.$'):
    attention.Size(heads=4, kv_heads=3)
