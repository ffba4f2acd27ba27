"""The mesh changes neither rows nor ledger of a run, and its loss only by rounding.

These are whole runs, the second level of the tests of meshes (test_every_mesh.py has the step). The fast
tests take two meshes with all axes between them, and go from one to the other.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix.parallel.mesh import MeshConfig
from codemix.training import loop
from tests import tiny_study
from tests.faults.runs import final_state
from tests.in_process import record_batches, use_one_device

STEPS, SAVED, LOST = 20, 8, 11  # a run cut off after step 11 goes on after step 8

# Sums are added up in another order on another mesh. Over 40 steps of this model in float32 the
# losses were seen to differ by up to 6e-7 of their size, and no more at the end than at the start.
ROUNDING = 1e-5

MESHES = {
  'data': MeshConfig(data=8),
  'fsdp': MeshConfig(data=1, fsdp=8),
  'data and tensor': MeshConfig(data=4, tensor=2),
  'fsdp and tensor': MeshConfig(data=1, fsdp=4, tensor=2),
  'data, fsdp and tensor': MeshConfig(data=2, fsdp=2, tensor=2),
  'replica, fsdp and sequence': MeshConfig(replica=2, data=1, fsdp=2, sequence=2),
}
FAST = ('data, fsdp and tensor', 'replica, fsdp and sequence')
by_name = pytest.mark.parametrize(
  'name', [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in MESHES]
)


class Interrupted(Exception):
  """Ends a run in the test's process where a kill would have ended it."""


@dataclasses.dataclass(frozen=True)
class Ran:
  """What came of a run."""

  metrics: list[dict]
  ledger: bytes
  fed: list[dict[str, np.ndarray]]
  folder: Path


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


def run(data, output: Path, mesh: MeshConfig | None, lose_after: int | None = None, **settings) -> Ran:
  """Trains one stage on a mesh; None is a single device.

  Args:
    lose_after: the steps after which the run is cut off.
  """
  # One entry more than the tokenizer has, so that the vocabulary divides over two devices.
  model = dataclasses.replace(tiny_study.MODEL, vocab_size=260)
  stage = tiny_study.stage('mixed', {'text': 0.7, 'code': 0.3}, STEPS)
  study = codemix.Study(name='meshes', recipes={'only': tiny_study.recipe(stage, model=model)})
  runtime = tiny_study.runtime(output, save_every=SAVED, mesh=mesh or MeshConfig(), **settings)
  with pytest.MonkeyPatch.context() as patch:
    if mesh is None:
      use_one_device(patch)
    if lose_after:
      cut_off(patch, lose_after)
    fed = record_batches(patch)
    if lose_after:
      with pytest.raises(Interrupted):
        codemix.run_study(study, data, runtime)
    else:
      codemix.run_study(study, data, runtime)
  [folder] = output.glob('stages/*')
  ledger = folder / 'ledger.json'
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return Ran(
    [json.loads(line) for line in lines], ledger.read_bytes() if ledger.exists() else b'', fed[0], folder
  )


def cut_off(patch: pytest.MonkeyPatch, steps: int) -> None:
  write = loop.StageLog.write

  def interrupted(log, index, values):
    if index == steps:
      raise Interrupted
    return write(log, index, values)

  patch.setattr(loop.StageLog, 'write', interrupted)


@pytest.fixture(scope='module')
def alone(data, tmp_path_factory) -> Ran:
  return run(data, tmp_path_factory.mktemp('alone'), None)


@pytest.fixture(scope='module')
def on_mesh(data, tmp_path_factory):
  """A function of a mesh's name: the run on it, trained once."""
  ran: dict[str, Ran] = {}

  def find(name: str) -> Ran:
    if name not in ran:
      ran[name] = run(data, tmp_path_factory.mktemp('mesh'), MESHES[name])
    return ran[name]

  return find


@by_name
def test_rows_and_ledger_are_those_of_one_device(name, alone, on_mesh):
  ran = on_mesh(name)
  assert ran.ledger == alone.ledger
  assert len(ran.fed) == len(alone.fed) == STEPS
  for batch, expected in zip(ran.fed, alone.fed, strict=True):
    assert batch.keys() == expected.keys()
    for key in expected:
      np.testing.assert_array_equal(batch[key], expected[key])


@by_name
def test_the_loss_curve_is_that_of_one_device_but_for_rounding(name, alone, on_mesh):
  assert_same_curve(on_mesh(name).metrics, alone.metrics)


@by_name
def test_the_parameters_are_those_of_one_device_but_for_rounding(name, alone, on_mesh):
  # AdamW divides by the root of squared gradients, which makes much of a little where they are tiny.
  leaves = zip(*(params_of(ran) for ran in (on_mesh(name), alone)), strict=True)
  for found, expected in leaves:
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
  ('before', 'after', 'settings'),
  [
    ('data, fsdp and tensor', 'replica, fsdp and sequence', {}),
    pytest.param(None, 'replica, fsdp and sequence', {'microbatches': 2, 'offload_optimizer': True}, marks=pytest.mark.slow),
    pytest.param('replica, fsdp and sequence', None, {'microbatches': 4}, marks=pytest.mark.slow),
  ],
)
def test_a_run_goes_on_under_another_mesh(before, after, settings, alone, on_mesh, data, tmp_path):
  meshes = {None: None, **MESHES}
  cut = run(data, tmp_path, meshes[before], lose_after=LOST)
  assert len(cut.metrics) == LOST
  ran = run(data, tmp_path, meshes[after], **settings)
  assert len(ran.fed) == STEPS - SAVED
  assert ran.ledger == alone.ledger
  # What was saved is not trained again, and what follows is the curve of either mesh.
  first = alone if before is None else on_mesh(before)
  assert ran.metrics[:SAVED] == first.metrics[:SAVED]
  assert_same_curve(ran.metrics, alone.metrics)


def assert_same_curve(found: list[dict], expected: list[dict]) -> None:
  real = lambda key: key.startswith('loss') or key == 'grad_norm'
  assert [line.keys() for line in found] == [line.keys() for line in expected]
  for line, wanted in zip(found, expected, strict=True):
    for key, value in wanted.items():
      assert line[key] == (pytest.approx(value, rel=ROUNDING) if real(key) else value)


def params_of(ran: Ran) -> list[np.ndarray]:
  return [np.asarray(leaf) for leaf in jax.tree.leaves(final_state(ran.folder).params)]
