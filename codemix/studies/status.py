"""The state of every unit of a study, from what is in its folder: nothing is written, and no device is used."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from codemix.evaluation.evaluator import EVALUATING
from codemix.storage import Holder, as_path
from codemix.studies.failures import Failure, read_failures
from codemix.studies.outline import StageOutline
from codemix.studies.stage_progress import StageProgress, read_progress

State = Literal['done', 'running', 'failed', 'stopped', 'waiting', 'not begun']
STATES: tuple[State, ...] = ('done', 'running', 'failed', 'stopped', 'waiting', 'not begun')


class Left(NamedTuple):
  """What a unit takes from now on, by itself: wall-clock seconds, and those of all devices; None: not known."""

  seconds: float | None
  device_seconds: float | None


# (stage, its steps that are left) -> what they will take, before anything was measured.
Predict = Callable[[StageOutline, int], Left]
UNKNOWN = Left(None, None)


@dataclasses.dataclass(frozen=True)
class UnitStatus:
  """A unit as it is now.

  Attributes:
    key: of the unit; before anything is prepared, with the stage's name in place of its folder.
    needs: keys of the units before it.
    state: 'stopped' if it was begun and no process works on it, 'waiting' if a unit that it needs is not done.
    waits_for: of `needs`, those that are not done.
    holder: the process that works on it.
    noun: what `done` and `total` count: 'steps', 'evaluators' or 'splits'.
    done, total: None if that is not known.
    tokens: loss tokens of a stage; None of other units.
    seconds: wall-clock seconds so far. device_seconds: times the devices in use; None if they were not written down.
    failure: of its last try; None if that did not fail.
    arms: that it is of; () if it prepares. seeds: theirs.
  """

  key: str
  needs: tuple[str, ...]
  state: State
  noun: str
  done: int
  total: int | None
  waits_for: tuple[str, ...] = ()
  holder: Holder | None = None
  tokens: int | None = None
  seconds: float = 0.0
  device_seconds: float | None = None
  left: Left = Left(0.0, 0.0)
  failure: Failure | None = None
  arms: tuple[str, ...] = ()
  seeds: tuple[int, ...] = ()


def study_status(
  output: str | Path,
  stages: Sequence[StageOutline],
  evaluators: Sequence[str],
  splits: Mapping[str, bool],
  predict: Predict = lambda stage, steps: UNKNOWN,
) -> list[UnitStatus]:
  """The status of every unit, in an order in which they may run.

  Raises UserError if a file of the study's folder is damaged.

  Args:
    evaluators: names of what evaluates every stage.
    splits: SOURCE-SPLIT -> whether it is prepared.
    predict: for a stage of which no step was measured, nor one of another stage with equal steps.
  """
  found = {stage: read_progress(as_path(output) / 'stages' / stage.folder, evaluators) for stage in stages}
  look = _Look(read_failures(output), _measured(found), _evaluation_seconds(found.values(), len(evaluators)), predict, len(evaluators))
  units = {unit.key: unit for unit in (UnitStatus(f'prepare/{split}', (), 'done' if done else 'not begun', 'splits', int(done), 1) for split, done in splits.items())}
  scored = tuple(f'prepare/{split}' for split in splits if split.endswith('-validation'))
  for stage, progress in found.items():
    reads = tuple(key for source in stage.sources if (key := f'prepare/{source}-train') in units)
    train = look.train(stage, progress, (*([f'train/{stage.parent}'] if stage.parent else []), *reads), units)
    units[train.key] = dataclasses.replace(train, arms=stage.arms, seeds=stage.seeds)
    evaluate = look.evaluate(stage, progress, (train.key, *scored), units)
    units[evaluate.key] = dataclasses.replace(evaluate, arms=stage.arms, seeds=stage.seeds)
  return list(units.values())


def _measured(found: Mapping[StageOutline, StageProgress]) -> dict[tuple[float, float], tuple[float, float | None]]:
  """(seconds, devices) of a step, by the shape of the stages: of the first one with such steps that was measured."""
  measured: dict[tuple[float, float], tuple[float, float | None]] = {}
  for stage, progress in found.items():
    if stage.shape and progress.step_s:
      measured.setdefault(stage.shape, (progress.step_s, progress.devices))
  return measured


def _evaluation_seconds(found: Iterable[StageProgress], evaluators: int) -> float | None:
  """Of a stage, the mean of those that are evaluated."""
  seconds = [progress.evaluation_s for progress in found if progress.evaluated == evaluators and progress.evaluation_s]
  return statistics.mean(seconds) if seconds else None


class _Look(NamedTuple):
  """What the status of each unit is made from, beside its own progress."""

  failures: Mapping[str, Failure]
  step_s: Mapping[tuple[float, float], tuple[float, float | None]]
  evaluation_s: float | None
  predict: Predict
  evaluators: int

  def train(self, stage: StageOutline, progress: StageProgress, needs: tuple[str, ...], units: Mapping[str, UnitStatus]) -> UnitStatus:
    key, devices = f'train/{stage.folder}', progress.devices
    steps = stage.steps if progress.is_done and stage.steps else progress.steps
    trains = progress.holder is not None and progress.holder.doing != EVALUATING and not progress.is_done
    made = self._unit(key, needs, units, progress.is_done, trains, 'steps', steps, stage.steps)
    left = Left(0.0, 0.0) if progress.is_done else UNKNOWN
    if not progress.is_done and stage.steps is not None:
      step_s, of_step = (progress.step_s, devices) if progress.step_s else self.step_s.get(stage.shape, (None, None))
      left = _times(step_s, of_step, stage.steps - steps) if step_s else self.predict(stage, stage.steps - steps)
    return dataclasses.replace(
      made, tokens=stage.tokens, seconds=progress.training_s, device_seconds=devices and devices * progress.training_s, left=left, holder=progress.holder if trains else None
    )

  def evaluate(self, stage: StageOutline, progress: StageProgress, needs: tuple[str, ...], units: Mapping[str, UnitStatus]) -> UnitStatus:
    key, devices = f'evaluate/{stage.folder}', progress.devices
    is_done = progress.is_done and progress.evaluated == self.evaluators
    evaluates = progress.holder is not None and progress.is_done and not is_done
    made = self._unit(key, needs, units, is_done, evaluates, 'evaluators', progress.evaluated, self.evaluators)
    left = Left(0.0, 0.0) if is_done else UNKNOWN
    if not is_done and self.evaluators and self.evaluation_s is not None:
      left = _times(self.evaluation_s, devices or self._any_devices(), 1 - progress.evaluated / self.evaluators)
    return dataclasses.replace(
      made, seconds=progress.evaluation_s, device_seconds=devices and devices * progress.evaluation_s, left=left, holder=progress.holder if evaluates else None
    )

  def _any_devices(self) -> float | None:
    return next((devices for _, devices in self.step_s.values() if devices), None)

  def _unit(
    self, key: str, needs: tuple[str, ...], units: Mapping[str, UnitStatus], is_done: bool, is_held: bool, noun: str, done: int, total: int | None
  ) -> UnitStatus:
    waits_for = () if is_done else tuple(need for need in needs if units[need].state != 'done')
    failure = None if is_done else self.failures.get(key)
    state: State = 'done' if is_done else 'running' if is_held else 'failed' if failure else 'waiting' if waits_for else 'stopped' if done else 'not begun'
    return UnitStatus(key, needs, state, noun, done, total, waits_for, failure=failure)


def _times(seconds: float, devices: float | None, count: float) -> Left:
  return Left(seconds * count, None if devices is None else seconds * count * devices)
