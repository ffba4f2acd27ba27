"""The number of hosts is no part of the data: real processes, joined by Gloo on CPUs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import codemix
from codemix.data.batches import loader
from codemix.data.batches.ledger import StageRows
from codemix.evaluation.results import of_held_out, read_results
from tests import tiny_study
from tests.faults import runs
from tests.in_process import use_one_device
from tests.training import host

RESUMED = host.RESUMED
ROUNDING = 1e-5  # losses differ by some 1e-7 of their size: sums are added up in another order


@dataclasses.dataclass(frozen=True)
class Ran:
  """What several processes left in the output folder."""

  count: int
  output: Path

  def batches(self, first: int) -> dict[str, np.ndarray]:
    """The global batches from step `first` on, put together from what each process held."""
    parts = [dict(np.load(self.output / f'batches-{first}.{i}.npz')) for i in range(self.count)]
    held = [part.pop('held') for part in parts]
    assert (np.sum(held, axis=0) == 1).all()  # each row is read by one process, and only one
    return {
      key: sum(part[key] * mine.reshape(1, -1, *[1] * (part[key].ndim - 2)) for part, mine in zip(parts, held, strict=True))
      for key in host.KEYS
    }

  @property
  def stage(self) -> Path:
    [folder] = self.output.glob('stages/*')
    return folder


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
  root = tmp_path_factory.mktemp('hosts')
  tiny_study.prepare(root / 'data', bytes_each=9_000)
  return root


def run(place: Path, output: Path, count: int, devices: int, mesh: str = 'rows') -> Ran:
  for ended in join(place, output, count, devices, mesh=mesh):
    assert ended.returncode == 0, ended.stderr
  return Ran(count, output)


def join(
  place: Path, output: Path, count: int, devices: int, *last: str, mesh: str = 'rows'
) -> list[CompletedProcess]:
  """Runs processes that train together to their end; `last` are flags of the last of them."""
  output.mkdir(exist_ok=True)
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    coordinator = f'localhost:{probe.getsockname()[1]}'
  cache = place / f'cache-{mesh}{count}'
  words = ('tests.training.host', place / 'data', output, cache, coordinator, count)
  flags = [*[()] * (count - 1), last]
  processes = [runs.start(*words, i, '--mesh', mesh, *flags[i], devices=devices) for i in range(count)]
  return [runs.finish(process) for process in processes]


@pytest.fixture(scope='module')
def two(place) -> Ran:
  """Two processes of two devices each, from beginning to end."""
  return run(place, place / 'two', 2, devices=2)


def cut_back(ran: Ran, output: Path) -> Path:
  """The folder of a run as it was after the checkpoint of step 17, and no later file."""
  shutil.copytree(ran.output / 'stages', output / 'stages')
  [stage] = output.glob('stages/*')
  for path in [stage / 'done.json', stage / 'ledger.json']:
    path.unlink()
  shutil.rmtree(stage / 'evaluation')
  for path in (stage / 'checkpoints').glob(f'{host.TRAINED}*'):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  return output


@pytest.fixture(scope='module')
def four(place, two) -> Ran:
  """Four processes that go on after step 17 where two had stopped."""
  return run(place, cut_back(two, place / 'four'), 4, devices=1)


@pytest.fixture(scope='module')
def alone(place) -> Path:
  """The stage's folder of a run of one process with one device."""
  data = codemix.Data(directory=str(place / 'data'), tokenizer='bytes')
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(host.study(host.TRAINED), data, tiny_study.runtime(place / 'alone'))
  [folder] = (place / 'alone').glob('stages/*')
  return folder


@pytest.fixture(scope='module')
def expected(place) -> dict[str, np.ndarray]:
  """The batches of steps 0-50 read row by row, with no devices at all."""
  data = codemix.Data(directory=str(place / 'data'), tokenizer='bytes')
  plan = codemix.plan_study(host.study(host.READ), data)
  [stage] = plan.stages()
  rows, size = StageRows(plan.sources, stage.draws, stage.segments, stage.seed), stage.stage.batch
  batches = [
    loader.read_rows(rows, np.arange(step * size, (step + 1) * size)) for step in range(host.READ)
  ]
  return {key: np.stack([batch[key] for batch in batches]) for key in host.KEYS}


@pytest.mark.parametrize('first', [0, RESUMED])
@pytest.mark.parametrize('hosts', ['two', 'four'])
def test_a_global_batch_has_the_same_rows_on_any_number_of_hosts(hosts, first, expected, request):
  found = request.getfixturevalue(hosts).batches(first)
  for key, batches in expected.items():
    np.testing.assert_array_equal(found[key], batches[first:])


@pytest.mark.parametrize('hosts', ['two', 'four'])
def test_several_hosts_train_to_the_same_ledger_and_curve_as_one(hosts, alone, request):
  stage = request.getfixturevalue(hosts).stage
  assert (stage / 'ledger.json').read_bytes() == (alone / 'ledger.json').read_bytes()
  real = lambda key: key.startswith('loss') or key == 'grad_norm'
  for line, wanted in zip(metrics(stage), metrics(alone), strict=True):
    assert line.keys() == wanted.keys()
    for key, value in wanted.items():
      assert line[key] == (pytest.approx(value, rel=ROUNDING) if real(key) else value)


@pytest.mark.parametrize('hosts', ['two', 'four'])
def test_several_hosts_score_as_one_does(hosts, alone, request):
  stage = request.getfixturevalue(hosts).stage
  for source, score in scores(alone).items():
    assert scores(stage)[source] == {key: pytest.approx(value, rel=ROUNDING) for key, value in score.items()}


def test_a_run_that_goes_on_with_more_hosts_keeps_what_was_done(two, four):
  assert metrics(four.stage)[:RESUMED] == metrics(two.stage)[:RESUMED]
  assert len(metrics(four.stage)) == host.TRAINED


@pytest.mark.parametrize(
  ('count', 'devices', 'mesh'),
  [
    (2, 4, 'replicas'),  # one in each process, with positions split inside
    pytest.param(4, 2, 'replicas', marks=pytest.mark.slow),  # one over two processes each
    pytest.param(2, 4, 'positions', marks=pytest.mark.slow),
    pytest.param(4, 1, 'positions', marks=pytest.mark.slow),
  ],
)
def test_replicas_and_positions_on_several_hosts_train_as_one_device(count, devices, mesh, place, alone, tmp_path):
  ran = run(place, tmp_path, count, devices, mesh)
  assert (ran.stage / 'ledger.json').read_bytes() == (alone / 'ledger.json').read_bytes()
  for key in ('loss', 'grad_norm'):
    curves = [[line[key] for line in metrics(stage)] for stage in (ran.stage, alone)]
    np.testing.assert_allclose(*curves, rtol=ROUNDING)
  for source, score in scores(alone).items():
    assert scores(ran.stage)[source] == {k: pytest.approx(value, rel=ROUNDING) for k, value in score.items()}


@pytest.mark.slow
def test_four_processes_of_two_devices_train_alike_from_the_first_step(place, alone, expected, tmp_path):
  ran = run(place, tmp_path, 4, devices=2)
  np.testing.assert_array_equal(ran.batches(0)['targets'], expected['targets'])
  assert (ran.stage / 'ledger.json').read_bytes() == (alone / 'ledger.json').read_bytes()
  losses = [[line['loss'] for line in metrics(stage)] for stage in (ran.stage, alone)]
  np.testing.assert_allclose(*losses, rtol=ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize(('signal_name', 'call'), [('SIGTERM', 3), ('SIGKILL', RESUMED + 3)])
def test_when_one_of_two_hosts_is_ended_so_is_the_other_and_one_host_goes_on(
  signal_name, call, place, two, alone, tmp_path, monkeypatch
):
  first, second = join(place, tmp_path, 2, 2, '--send', signal_name, '--call', str(call))
  if signal_name == 'SIGTERM':
    assert (first.returncode, second.returncode) == (75, 75)
  else:
    assert first.returncode
    assert second.returncode == -9
  use_one_device(monkeypatch)
  data = codemix.Data(directory=str(place / 'data'), tokenizer='bytes')
  codemix.run_study(host.study(host.TRAINED), data, tiny_study.runtime(tmp_path))
  [stage] = tmp_path.glob('stages/*')
  saved = min(call, RESUMED)
  assert metrics(stage)[:saved] == metrics(two.stage)[:saved]
  assert (stage / 'ledger.json').read_bytes() == (alone / 'ledger.json').read_bytes()


def metrics(stage: Path) -> list[dict]:
  return [json.loads(line) for line in (stage / 'metrics.jsonl').read_text().splitlines()]


def scores(stage: Path) -> dict[str, dict]:
  return {source: found.scores for source, found in of_held_out(read_results(stage)).items()}
