"""Runs of the small study in processes of their own, and what they end in."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from codemix.checkpoints import Checkpoints
from codemix.evaluation.results import read_results
from codemix.identity import canonical
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.storage.lines import read_lines
from codemix.studies.load_stage import load_stage
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, abstract_state

ROOT = Path(__file__).resolve().parents[2]
KEPT_FILES = ('stage.json', 'plan.json', 'rate.csv', 'ledger.json')


def environment(devices: int = 1, optimised: bool = False) -> dict[str, str]:
  """This process's environment, with so many CPU devices; the last of two flags counts.

  Args:
    optimised: True compiles as users do; False quickly, as `tests/conftest.py` says.
  """
  flags = f'--xla_force_host_platform_device_count={devices}'
  return {**os.environ, 'XLA_FLAGS': flags if optimised else f'{os.environ["XLA_FLAGS"]} {flags}', 'PYTHONPATH': str(ROOT)}


def start(module: str, *words: str | Path, devices: int = 1, optimised: bool = False) -> subprocess.Popen:
  """Starts `python -m module words`."""
  return subprocess.Popen(
    [sys.executable, '-m', module, *map(str, words)],
    cwd=ROOT,
    env=environment(devices, optimised),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen, timeout_s: float = 300) -> subprocess.CompletedProcess:
  """Waits for a process; one that hangs is ended and fails the test."""
  try:
    stdout, stderr = process.communicate(timeout=timeout_s)
  except subprocess.TimeoutExpired:
    process.kill()
    stdout, stderr = process.communicate()
    raise AssertionError(f'no end after {timeout_s} s:\n{stdout}\n{stderr}') from None
  return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def result_of(output: Path) -> dict[str, object]:
  """All that may not depend on what happened on the way: files, scores and the bits of every array."""
  result: dict[str, object] = {}
  for folder in sorted((output / 'stages').iterdir(), key=str):
    name = folder.name
    result.update({f'{name}/{file}': (folder / file).read_bytes() for file in KEPT_FILES})
    result[f'{name}/metrics.jsonl'] = read_lines(folder / 'metrics.jsonl')
    # The identity of results names the checkpoint, whose files Orbax names at random.
    for evaluator, stored in sorted(read_results(folder).items()):
      result[f'{name}/{evaluator}'] = canonical([stored.scores, stored.samples])
      result.update({f'{name}/{evaluator}/{key}': _bits(array) for key, array in stored.items().items()})
    for path, leaf in jax.tree_util.tree_leaves_with_path(final_state(folder)):
      bits = np.asarray(leaf)
      result[f'{name}{jax.tree_util.keystr(path)}'] = (bits.shape, bits.dtype.str, bits.tobytes())
  return result


def _bits(array: np.ndarray) -> bytes:
  """What is equal for equal arrays; those of texts and lists hold pointers to them."""
  if array.dtype != object:
    return array.tobytes()
  return repr([value.tolist() if isinstance(value, np.ndarray) else value for value in array]).encode()


def final_state(folder: Path) -> TrainState:
  """The state that a finished stage ended in, on one device."""
  stage = load_stage(folder)
  mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
  target = abstract_state(stage.config, stage.optimizer, Placement(mesh))
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.require(stage.step, stage.checkpoint)
    return checkpoints.restore_state(stage.step, target)


def assert_same(found: dict[str, object], expected: dict[str, object]) -> None:
  """Fails with the names of what differs, not with the bytes."""
  assert found.keys() == expected.keys()
  assert [key for key in expected if found[key] != expected[key]] == []
