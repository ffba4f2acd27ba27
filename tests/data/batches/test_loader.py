"""The loader: a batch is a function of its step, wherever reading begins and however far ahead."""

from __future__ import annotations

from fractions import Fraction

import jax
import numpy as np
import pytest

from codemix.data.batches import loader
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.order.row_schedule import constant_shares
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding
from tests.data.stores import BOS, make_store
from tests.in_process import one_device_mesh

BATCH, STEPS, LENGTH = 8, 12, 16


@pytest.fixture(scope='module')
def rows(tmp_path_factory) -> StageRows:
  root = tmp_path_factory.mktemp('sources')
  sources = {
    name: PreparedSource(name, make_store(root / name, tokens, seed=len(name)), LENGTH, BOS)
    for name, tokens in {'short': [3, 5, 8] * 40, 'long': [100, 210, 300]}.items()
  }
  shares = {'short': Fraction(2, 3), 'long': Fraction(1, 3)}
  segments = constant_shares(shares, BATCH * STEPS)
  return StageRows(sources, plan_uses(sources, shares, segments, {}, 0), segments, 0)


def read(rows, steps: range, mesh=None, prefetch: int = 4) -> list[dict[str, np.ndarray]]:
  sharding = batch_sharding(mesh or one_device_mesh())
  batches = loader.batches(rows, BATCH, steps, sharding, prefetch)
  return [{key: np.asarray(value) for key, value in batch.items()} for batch in batches]


def assert_same(found, expected) -> None:
  assert len(found) == len(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_batch_holds_the_rows_of_its_step_in_order(rows):
  which, _, row = rows.locate(0, len(rows))
  for step, batch in enumerate(read(rows, range(STEPS))):
    here = slice(step * BATCH, (step + 1) * BATCH)
    assert batch['source'].tolist() == which[here].tolist()
    for place, (source, index) in enumerate(zip(which[here].tolist(), row[here].tolist(), strict=True)):
      for key, value in rows.sources[source].row(index).items():
        np.testing.assert_array_equal(batch[key][place], value)


@pytest.mark.parametrize('first', [1, 5, STEPS - 1, STEPS])
def test_a_resumed_run_reads_what_an_undisturbed_one_would(rows, first):
  assert_same(read(rows, range(first, STEPS)), read(rows, range(STEPS))[first:])


@pytest.mark.parametrize('together', [1, 3 * BATCH, 100 * BATCH])
@pytest.mark.parametrize('mine', [[4, 5, 6, 7], [0, 1, 6, 7], [2]], ids=str)
def test_a_process_reads_its_own_rows_however_many_steps_are_read_at_a_time(mine, together, rows, monkeypatch):
  monkeypatch.setattr(loader, 'ROWS_TOGETHER', together)
  found = list(loader.read_ahead(rows, BATCH, range(5, STEPS), np.array(mine), prefetch=100))
  expected = [rows.read(step * BATCH + np.array(mine)) for step in range(5, STEPS)]
  assert_same(found, expected)


@pytest.mark.parametrize('prefetch', [0, 1, 100])
def test_reading_ahead_changes_nothing(rows, prefetch):
  assert_same(read(rows, range(STEPS), prefetch=prefetch), read(rows, range(STEPS)))


@pytest.mark.parametrize(
  'config',
  [
    MeshConfig(data=8),
    MeshConfig(data=2, fsdp=2, tensor=2),
    MeshConfig(data=1, fsdp=4, tensor=2),
    MeshConfig(data=1, tensor=8),
    MeshConfig(replica=2, data=2, sequence=2),
    MeshConfig(data=1, sequence=8),
  ],
  ids=str,
)
def test_the_layout_of_devices_changes_nothing(rows, config):
  assert_same(read(rows, range(3), make_mesh(config)), read(rows, range(3)))


def test_each_device_holds_its_own_rows_alone(rows):
  sharding = batch_sharding(make_mesh(MeshConfig(data=2, fsdp=4)))
  [batch] = loader.batches(rows, BATCH, range(1), sharding, 1)
  assert {shard.data.shape for shard in batch['targets'].addressable_shards} == {(1, LENGTH)}
  assert loader.local_positions(sharding, BATCH).tolist() == list(range(BATCH))
