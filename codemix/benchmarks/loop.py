"""What the training loop adds to its step, and what a save costs it.

Stages are trained on random prepared data as `codemix train` does it, with metrics files, ledger and
TensorBoard. In turn with them the same compiled step runs in a bare loop, whose batches are on the
device already. TensorFlow is not imported.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import medians, one_device_mesh
from codemix.benchmarks.random_store import prepare_random
from codemix.benchmarks.step import Size as StepSize
from codemix.benchmarks.step import random_batch, train_steps
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
STEP_S = 0.02  # the goals are for steps of this many seconds
MOST_ROWS = 512
TIMED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    rows: of a batch; 0: as many as make a step take some 20 ms here.
    length: tokens of a row.
    layers, width, vocabulary: of the decoder.
    steps: of each turn of the bare loop and of the training loop.
    warm_up: steps before those.
    turns: of both loops; the median of the turns' ratios counts.
    interval: steps between two saves.
    saves: to measure.
    step_cores: CPU cores for the step alone, with the other cores for the host, as beside an
      accelerator; 0: both share all cores.
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

  may_be_zero = ('rows', 'warm_up', 'step_cores')

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.interval < 2:
      raise UserError(f'--size=interval={self.interval}: write 2 or more: half of it is free of saves.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figures of the loop, then those of a save.

  Args:
    folder: an empty one, for some checkpoints.
  """
  with separate_cores(size.step_cores):
    mesh = one_device_mesh()
    size = dataclasses.replace(size, rows=size.rows or fitting_rows(lambda rows: step_seconds(size, rows, mesh)))
    yield Figure('a batch', size.rows, 'rows')
    data = Data(directory=str(folder / 'data'), tokenizer='bytes')
    turn, saves = size.warm_up + size.steps, size.interval * (size.saves + 1)
    for name, share in SOURCES.items():
      prepare_random(data, name, 'train', int(share * max(turn, saves) * size.rows * size.length))
    yield from _loop(_plan(data, size, turn), mesh, folder, size)
    yield from _save(_plan(data, size, saves), mesh, folder, size)


@contextlib.contextmanager
def separate_cores(cores: int) -> Iterator[None]:
  """Starts JAX's threads on `cores` cores, unless JAX has started, and continues on the other cores.

  Raises UserError: there is no other core.
  """
  if not cores:
    yield
    return
  all_cores = sorted(os.sched_getaffinity(0))
  if len(all_cores) <= cores:
    raise UserError(f'--size=step_cores={cores}: of {len(all_cores)} cores, the host needs one.')
  try:
    os.sched_setaffinity(0, all_cores[:cores])  # inherited by the threads that JAX starts
    jax.devices()
    os.sched_setaffinity(0, all_cores[cores:])
    yield
  finally:
    os.sched_setaffinity(0, all_cores)


def fitting_rows(seconds_of: Callable[[int], float]) -> int:
  """The rows with which a step takes about `STEP_S`, found by trying; `seconds_of(rows)` times a step."""
  rows = 4
  for _ in range(4):
    longer = STEP_S / seconds_of(rows)
    rows, before = round(min(max(rows * longer, 1), MOST_ROWS)), rows
    if rows == before:
      break
  return rows


def step_seconds(size: Size, rows: int, mesh: Mesh) -> float:
  """Seconds of a step, one after the other, with nothing else running."""
  model = _model(size)
  step = train_steps(model, mesh, random_batch(StepSize(rows, size.length), model.vocab_size))
  several = lambda: [step() for _ in range(TIMED_STEPS)][-1]
  return medians({rows: several}, repeats=5)[rows] / TIMED_STEPS


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
  seconds = _logged_seconds(_trainer(plan, mesh, folder / 'saves', save_every=size.interval), plan)
  cost, share = save_cost(seconds, size.interval)
  yield Figure('a save, beside the step', 1e3 * cost, 'ms')
  yield Figure(
    f'a save to its interval of {size.interval} steps', 100 * share, '%', goal=3, more_is_better=False
  )


def save_cost(seconds: Sequence[float], interval: int) -> tuple[float, float]:
  """Median seconds that a save adds to the steps, and that as a share of an interval without it.

  In the first half of the interval after a save it is written; the second half is free of saves.

  Args:
    seconds: of each step of a stage that saves every `interval` steps, whole intervals.
  """
  half = interval // 2
  quiet, cost = [], []
  for start in range(interval, len(seconds), interval):
    after = seconds[start : start + interval]
    quiet.append(statistics.fmean(after[half:]))
    cost.append(sum(after[:half]) - half * quiet[-1])
  save = statistics.median(cost)
  return save, save / (interval * statistics.median(quiet))


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
  """Seconds of the steps after the warm-up, in a loop that only starts them."""
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
  """Trains the stage; seconds of each step by its log, in which those of a save are of the step after it."""
  [stage] = plan.stages()
  lines = (train_stage(trainer, stage) / 'timing.jsonl').read_text().splitlines()
  return [json.loads(line)['seconds'] for line in lines]
