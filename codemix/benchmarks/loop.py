"""What the training loop adds to its step, and what a save costs it.

Stages are trained on made-up, prepared data as `codemix train` does it, with the metrics files, the
accounts and TensorBoard. In turn with them the same compiled step runs in a bare loop, with its
batches on the device already. TensorFlow is not imported.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.random_store import prepare_random
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.step import Size as StepSize
from codemix.benchmarks.step import TrainSteps, random_batch
from codemix.benchmarks.timing import medians, one_device_mesh
from codemix.data.batches import loader
from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import batch_sharding
from codemix.studies.planning import StudyPlan, plan_study
from codemix.studies.recipe import Recipe, Study
from codemix.training.loop import IN_FLIGHT, Trainer, train_stage
from codemix.training.runtime import Runtime
from codemix.training.schedules import Constant
from codemix.training.stage import Stage

SOURCES = {'text': 0.75, 'code': 0.25}
STEP_S = 0.02  # what a step should take: the goals are those of such steps
MOST_ROWS = 512


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    rows: of a batch; 0: as many as make a step take some 20 ms here.
    length: tokens of a row.
    layers, width, vocabulary: of the decoder.
    steps: of each turn of the bare step and of the loop.
    warm_up: steps before those.
    turns: of both; the median of what neighbours come to is said.
    interval: steps between two saves.
    saves: that are measured.
    step_cores: cores of a CPU that the step has to itself, and the host the others, as beside an
      accelerator; 0: both share all of them.
  """

  rows: int = 0
  length: int = 128
  layers: int = 4
  width: int = 96
  vocabulary: int = 4096
  steps: int = 100
  warm_up: int = 20
  turns: int = 20
  interval: int = 100
  saves: int = 15
  step_cores: int = 0

  def __post_init__(self) -> None:
    require_counts(self, may_be_zero=('rows', 'warm_up', 'step_cores'))
    if self.interval < 2:
      raise UserError(f'--size=interval={self.interval}: write 2 or more: half of it is free of saves.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figures of the loop, then those of a save.

  Args:
    folder: an empty one, for some checkpoints.
  """
  with _step_apart(size.step_cores):
    mesh = one_device_mesh()
    rows = size.rows or _fitting_rows(size, mesh)
    yield Figure('a batch', rows, 'rows')
    yield from _measure(folder, dataclasses.replace(size, rows=rows), mesh)


def _fitting_rows(size: Size, mesh: Mesh) -> int:
  """As many as make a step take about `STEP_S`, found by trying."""
  rows = 4
  for _ in range(4):
    longer = STEP_S / _step_seconds(size, rows, mesh)
    rows, before = round(min(max(rows * longer, 1), MOST_ROWS)), rows
    if rows == before:
      break
  return rows


def _step_seconds(size: Size, rows: int, mesh: Mesh, steps: int = 20) -> float:
  """Of a step among others, with nothing else under way."""
  model = _model(size)
  step = TrainSteps(model, mesh, random_batch(StepSize(rows, size.length), model.vocab_size))
  several = lambda: [step() for _ in range(steps)][-1]
  return medians({rows: several}, repeats=5)[rows] / steps


def _measure(folder: Path, size: Size, mesh: Mesh) -> Iterator[Figure]:
  data = Data(directory=str(folder / 'data'), tokenizer='bytes')
  longest = max(size.warm_up + size.steps, size.interval * (size.saves + 1))
  for name, share in SOURCES.items():
    prepare_random(data, name, 'train', int(share * longest * size.rows * size.length))
  yield from _loop(_plan(data, size, size.warm_up + size.steps), mesh, folder, size)
  yield from _save(_plan(data, size, size.interval * (size.saves + 1)), mesh, folder, size)


@contextlib.contextmanager
def _step_apart(cores: int) -> Iterator[None]:
  """Starts JAX's threads on so many cores (unless it was started before), and goes on on the others.

  Raises:
    UserError: that leaves none.
  """
  if not cores:
    yield
    return
  all_cores = sorted(os.sched_getaffinity(0))
  if len(all_cores) <= cores:
    raise UserError(f'--size=step_cores={cores}: of {len(all_cores)} cores, the host needs one.')
  try:
    os.sched_setaffinity(0, all_cores[:cores])  # what a thread starts stays where it is
    jax.devices()
    os.sched_setaffinity(0, all_cores[cores:])
    yield
  finally:
    os.sched_setaffinity(0, all_cores)


def _loop(plan: StudyPlan, mesh: Mesh, folder: Path, size: Size) -> Iterator[Figure]:
  bare, loop = [], []
  for turn in range(size.turns + 1):
    trainer = _trainer(plan, mesh, folder / f'{turn}', save_every=size.warm_up + size.steps)
    alone, in_stage = _bare(trainer, plan, size), _logged_seconds(trainer, plan)[size.warm_up :]
    shutil.rmtree(folder / f'{turn}')
    if turn:  # the first compiles
      bare.append(alone)
      loop.append(sum(in_stage))
  yield Figure('the compiled step alone', 1e3 * statistics.median(bare) / size.steps, 'ms')
  yield Figure('a step of the loop', 1e3 * statistics.median(loop) / size.steps, 'ms')
  ratio = statistics.median(a / b for a, b in zip(bare, loop, strict=True))
  yield Figure('steps/s of the loop to those of the step alone', ratio, 'x', goal=0.97)


def _save(plan: StudyPlan, mesh: Mesh, folder: Path, size: Size) -> Iterator[Figure]:
  """The half of each interval in which a save is written, beside the half in which nothing is saved."""
  seconds = _logged_seconds(_trainer(plan, mesh, folder / 'saves', save_every=size.interval), plan)
  half = size.interval // 2
  quiet, cost = [], []
  for save in range(1, size.saves + 1):
    after = seconds[save * size.interval : (save + 1) * size.interval]
    quiet.append(statistics.fmean(after[half:]))
    cost.append(sum(after[:half]) - half * quiet[-1])
  save = statistics.median(cost)
  interval = size.interval * statistics.median(quiet)
  yield Figure('a save, beside the step', 1e3 * save, 'ms')
  yield Figure(
    f'a save to its interval of {size.interval} steps',
    100 * save / interval,
    '%',
    goal=3,
    more_is_better=False,
  )


def _model(size: Size) -> ModelConfig:
  return ModelConfig(
    vocab_size=size.vocabulary,
    layers=size.layers,
    width=size.width,
    ffn_width=8 * size.width // 3,
    heads=max(size.width // 32, 1),
    head_dim=32,
    dtype='float32',
  )


def _plan(data: Data, size: Size, steps: int) -> StudyPlan:
  """A study of one stage."""
  stage = Stage('bench', steps * size.rows * size.length, SOURCES, size.rows, Constant(1e-3))
  recipe = Recipe(stages=(stage,), model=_model(size), length=size.length)
  return plan_study(Study(name='bench', recipes={'bench': recipe}), data)


def _trainer(plan: StudyPlan, mesh: Mesh, output: Path, save_every: int) -> Trainer:
  recipe = plan.study.recipes['bench']
  runtime = Runtime(output=str(output), save_every=save_every)
  return Trainer(recipe.model, recipe.optimizer, plan.sources, mesh, runtime, plan.tokenizer.bos_id)


def _bare(trainer: Trainer, plan: StudyPlan, size: Size) -> float:
  """Seconds of the steps after the warm-up, with nothing else to do than to start them."""
  [stage] = plan.stages()
  train_step = trainer.train_step()
  rows = stage.rows(trainer.sources)
  sharding = batch_sharding(trainer.mesh)
  batches = list(loader.batches(rows, size.rows, range(stage.steps), sharding, prefetch=4))
  state, rate = trainer.init_state(stage.seed), jax.device_put(stage.rates[0])
  jax.block_until_ready((state, batches))
  waiting: collections.deque = collections.deque()
  began = 0.0
  for index, batch in enumerate(batches):
    if index == size.warm_up:
      jax.block_until_ready(state)
      began = time.perf_counter()
    state, values = train_step(state, batch, rate)
    waiting.append(values)
    if len(waiting) > IN_FLIGHT:
      jax.block_until_ready(waiting.popleft())
  jax.block_until_ready(state)
  return time.perf_counter() - began


def _logged_seconds(trainer: Trainer, plan: StudyPlan) -> list[float]:
  """Of each step of the stage, as its log tells them; a save's are those of the step after it."""
  [stage] = plan.stages()
  lines = (train_stage(trainer, stage) / 'timing.jsonl').read_text().splitlines()
  return [json.loads(line)['seconds'] for line in lines]
