"""One run whose starts have 1, 2 and 4 processes, and other meshes each time, on a disk and in a bucket."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import codemix
from codemix.errors import Preempted
from codemix.storage import as_path
from codemix.storage.lines import read_lines
from tests import tiny_study
from tests.faults import runs
from tests.faults.together import free_port
from tests.in_process import use_one_device
from tests.training import restarting
from tests.training.host import KEYS

pytestmark = pytest.mark.slow

ROUNDING = 1e-5  # as of test_meshes.py
STOP_AFTER = 4  # steps of each start but the last


@dataclasses.dataclass(frozen=True)
class Start:
  """Processes, devices of each, and the mesh."""

  count: int
  devices: int
  mesh: str


STARTS = (Start(1, 4, 'data'), Start(2, 2, 'rows'), Start(4, 1, 'weights'), Start(2, 4, 'replicas'), Start(1, 1, 'data'))


@dataclasses.dataclass(frozen=True)
class Ran:
  """What the starts of a run left: the folder of its stage, and what each start trained on: its first step and its global batches."""

  stage: Path
  trained: list[tuple[int, dict[str, np.ndarray]]]


@pytest.fixture(scope='module', params=['disk', 'bucket'])
def ran(request, tmp_path_factory) -> Ran:
  local = tmp_path_factory.mktemp('restarts')
  root = local if request.param == 'disk' else as_path(f'{request.getfixturevalue("bucket")}/restarts')
  tiny_study.prepare(root / 'data', bytes_each=9_000)
  trained = []
  for number, start in enumerate(STARTS):
    (records := local / f'start-{number}').mkdir()
    last = number == len(STARTS) - 1
    coordinator = f'localhost:{free_port()}'
    words = lambda index, start=start, records=records, coordinator=coordinator: (
      root / 'data', root / 'run', records, local / f'cache-{start.mesh}{start.count}', coordinator, start.count, index, start.mesh
    )
    flags = () if last else ('--stop_after', str(STOP_AFTER))
    members = [runs.start('tests.training.restarting', *words(index), *flags, devices=start.devices) for index in range(start.count)]
    for ended in [runs.finish(member) for member in members]:
      assert ended.returncode == (0 if last else Preempted.exit_code), ended.stderr
    trained.append(global_batches(records, start.count))
  [stage] = (root / 'run' / 'stages').iterdir()
  return Ran(stage, trained)


def global_batches(records: Path, count: int) -> tuple[int, dict[str, np.ndarray]]:
  """A start's first step, and its global batches, put together from what each process held."""
  parts = [dict(np.load(records / f'{index}.npz')) for index in range(count)]
  [first] = {int(part['first']) for part in parts}
  whole = {}
  for key in KEYS:
    whole[key] = np.zeros_like(parts[0][key])
    for part in parts:
      np.copyto(whole[key], part[key], where=part[f'held/{key}'])
    assert np.any([part[f'held/{key}'] for part in parts], axis=0).all()
    for part in parts:  # what several processes hold is the same in each
      assert (whole[key] == part[key])[part[f'held/{key}']].all()
  return first, whole


@pytest.fixture(scope='module')
def alone(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
  """The stage's folder of a run of one process with one device, and its batches read row by row."""
  root = tmp_path_factory.mktemp('alone')
  data = tiny_study.prepare(root / 'data', bytes_each=9_000)
  plan = codemix.plan_study(restarting.study(), data)
  [stage] = plan.stages()
  rows, size = stage.rows(plan.sources), stage.stage.batch
  batches = [rows.read(np.arange(step * size, (step + 1) * size)) for step in range(restarting.STEPS)]
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(restarting.study(), data, tiny_study.runtime(root / 'run'))
  [folder] = (root / 'run').glob('stages/*')
  return folder, {key: np.stack([batch[key] for batch in batches]) for key in KEYS}


def test_each_start_goes_on_where_the_one_before_stopped(ran):
  done = 0
  for first, batches in ran.trained:
    assert first == done
    done += len(batches['targets'])
  assert done == restarting.STEPS


def test_each_step_has_the_same_rows_under_any_start(ran, alone):
  _, expected = alone
  for first, batches in ran.trained:
    for key in KEYS:
      np.testing.assert_array_equal(batches[key], expected[key][first : first + len(batches[key])])


def test_the_ledger_is_that_of_one_device(ran, alone):
  assert (ran.stage / 'ledger.json').read_bytes() == (alone[0] / 'ledger.json').read_bytes()


def test_the_curve_is_that_of_one_device_but_for_rounding(ran, alone):
  found, expected = (metrics(folder) for folder in (ran.stage, alone[0]))
  assert len(found) == len(expected) == restarting.STEPS
  real = lambda key: key.startswith('loss') or key == 'grad_norm'
  for line, wanted in zip(found, expected, strict=True):
    assert line.keys() == wanted.keys()
    for key, value in wanted.items():
      assert line[key] == (pytest.approx(value, rel=ROUNDING) if real(key) else value)


def metrics(stage: Path) -> list[dict]:
  return [json.loads(line) for line in read_lines(stage / 'metrics.jsonl').splitlines()]
