"""A stage of a run: what a user writes, and the plan that it comes to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from codemix.checked import From, Name, Tokens, checked
from codemix.data.ledger import Draw, Reading
from codemix.data.mixture import Mixture, Spec
from codemix.data.mixture_schedule import MixtureSchedule, schedule_of
from codemix.data.row_targets import Segment
from codemix.errors import UserError, nearest
from codemix.files import read_json
from codemix.identity import differences, digest
from codemix.training.schedules import Schedule

KEPT, RESET = 'continue', 'restart'

TakenOver = Literal[KEPT, RESET]


@dataclasses.dataclass(frozen=True)
@checked
class Handoff:
  """What a stage takes over from the one before it; each is 'continue' or 'restart'.

  The study does not say what it did at its stage boundaries, and a replication
  found that it matters, so nothing here is implied.

  Attributes:
    weights: the parameters, or a fresh initialisation.
    optimizer: the moments, or zeros.
    step: the count of steps, or zero.
    rate: 'continue' lets the stage's schedule begin at the rate where the last
      one ended (or, for a stage without a schedule, goes on along the last
      stage's curve); 'restart' begins the stage's schedule from its own start.
  """

  weights: TakenOver = KEPT
  optimizer: TakenOver = KEPT
  step: TakenOver = KEPT
  rate: TakenOver = KEPT


@dataclasses.dataclass(frozen=True)
@checked
class Stage:
  """One stage: so many tokens of a mixture, on a schedule.

  Attributes:
    name: readable name; the folder of its results begins with it.
    tokens: loss tokens; the nearest whole number of steps is trained, and the
      remainder reported.
    mixture: sources and their fractions of the loss tokens (`data.mixture`),
      or a `MixtureSchedule` of such along the stage.
    batch: rows of a global batch.
    schedule: the learning rate; None goes on along the last stage's curve.
    handoff: what is taken over; of no meaning in a first stage.
    rewind: sources read again from their first row; every other goes on where
      the last stage left it.
  """

  name: Name
  tokens: Tokens
  mixture: Spec | MixtureSchedule
  batch: Annotated[int, From(1), 'rows']
  schedule: Schedule | None = None
  handoff: Handoff = Handoff()
  rewind: tuple[Name, ...] = ()

  def __post_init__(self):
    if any(not (c.isalnum() or c in '_.') for c in self.name):
      raise UserError(f'Stage.name is {self.name!r}; it names a folder, so write letters, digits, _ and dots.')
    self.mixtures()

  def mixtures(self) -> MixtureSchedule:
    """The parsed mixture, of a single knot where it does not change along the stage."""
    return schedule_of(self.mixture, f"the mixture of stage '{self.name}'")

  def steps(self, length: int) -> int:
    """Steps of `batch` rows of `length` tokens nearest to the budget (halves up).

    Raises:
      UserError: less than half a step.
    """
    steps = int(self.tokens / (self.batch * length) + 0.5)
    if not steps:
      raise UserError(
        f"stage '{self.name}': {self.tokens:,.0f} tokens are less than one step of {self.batch} x {length:,} = {self.batch * length:,} tokens."
      )
    return steps

  def describe(self) -> dict:
    """All that decides what the stage trains, its name and mixture left out, as plain data."""
    schedule = self.schedule and {'kind': type(self.schedule).__name__, **dataclasses.asdict(self.schedule)}
    return {
      'tokens': self.tokens,
      'batch': self.batch,
      'schedule': schedule,
      'handoff': dataclasses.asdict(self.handoff),
      'rewind': sorted(self.rewind),
    }


@dataclasses.dataclass(frozen=True)
class Curve:
  """A schedule laid out over one stage, or over several that share it.

  Attributes:
    schedule: its form.
    steps: steps over which it is laid out.
    used: steps of it before the stage.
    start: the rate before it, where the hand-off says that the rate goes on.
  """

  schedule: Schedule
  steps: int
  used: int
  start: float | None

  def rates(self, steps: int) -> np.ndarray:
    """float32 [steps]: the stage's part of the curve."""
    return self.schedule.curve(self.steps, self.start)[self.used : self.used + steps]


@dataclasses.dataclass(frozen=True, eq=False)
class StagePlan:
  """A stage with everything decided: nothing that a user typed can fail after it.

  Attributes:
    stage: as written.
    parent: the plan of the stage before, or None.
    identity: everything that leads to the result; the parent by its hash.
    steps: steps of the stage.
    first_step: the run's step count when the stage begins.
    length: tokens of a row.
    seed: the run's seed.
    mixtures: the stage's, with every share in tokens.
    draws: what each source gives.
    segments: how the sources' shares go along the stage.
    rates: float32 [steps], the learning rate of each step.
    curve: the curve of which `rates` is a part.
  """

  stage: Stage
  parent: StagePlan | None
  identity: dict
  steps: int
  first_step: int
  length: int
  seed: int
  mixtures: MixtureSchedule
  draws: tuple[Draw, ...]
  segments: tuple[Segment, ...]
  rates: np.ndarray
  curve: Curve

  @property
  def hash(self) -> str:
    return digest(self.identity)

  @property
  def folder_name(self) -> str:
    return f'{self.stage.name}-{self.hash[:12]}'

  @property
  def tokens(self) -> int:
    """Loss tokens trained on."""
    return self.steps * self.stage.batch * self.length

  def mixture(self) -> Mixture:
    """The tree of the stage's mixture: the mean over the stage, where it changes."""
    return self.mixtures.mean(self.stage.tokens)

  @property
  def remainder_tokens(self) -> float:
    """The budget less what whole steps train; negative where the last step goes over."""
    return self.stage.tokens - self.tokens

  @property
  def last_step(self) -> int:
    """The run's step count when the stage is done."""
    return self.first_step + self.steps

  def readings_after(self) -> dict[str, Reading]:
    """How far every source was read at the end of the stage."""
    before = readings_at_start(self.stage, self.parent)
    drawn = {d.source: before.get(d.source, Reading()).after(d.rows) for d in self.draws}
    return {**before, **drawn}

  def lineage(self) -> list[StagePlan]:
    """From the first stage to this one."""
    return [*(self.parent.lineage() if self.parent else []), self]


def stage_folder(output: str | Path, plan: StagePlan) -> Path:
  """Where a stage's result lies: found by its hash, so that a renamed stage finds its result."""
  stages = Path(output) / 'stages'
  found = sorted(stages.glob(f'*-{plan.hash[:12]}'))
  return found[0] if found else stages / plan.folder_name


def is_done(output: str | Path, plan: StagePlan) -> bool:
  return (stage_folder(output, plan) / 'done.json').exists()


def namesake(output: str | Path, plan: StagePlan, study: Iterable[StagePlan]) -> str | None:
  """What sets a stage that is yet to be trained apart from a finished one of its name, in words.

  Args:
    study: the stages that are meant to be there beside it, which do not count.

  Returns:
    None where there is no other; else the folder whose identity is nearest,
    and what differs.
  """
  expected = {stage_folder(output, stage_plan).name for stage_plan in study}
  compared = []
  for done in sorted(Path(output).glob(f'stages/{plan.stage.name}-*/done.json')):
    if done.parent.name not in expected:
      found = read_json(done.parent / 'stage.json')['identity']
      different = list(differences({**plan.identity, 'parent': ''}, {**found, 'parent': ''}))
      compared.append((different or ['the stage before it is another'], done.parent.name))
  if not compared:
    return None
  different, folder = min(compared, key=lambda item: len(item[0]))
  return f'{folder} differs: ' + '; '.join(different[:3]) + ('; ...' if len(different) > 3 else '')


def readings_at_start(stage: Stage, parent: StagePlan | None) -> dict[str, Reading]:
  """How far each source was read when a stage begins."""
  readings = parent.readings_after() if parent else {}
  if unknown := [source for source in stage.rewind if source not in readings]:
    raise UserError(
      f"stage '{stage.name}' rewinds '{unknown[0]}', which no stage before it has read.{nearest(unknown[0], readings)}"
    )
  return readings | {source: readings[source].rewound() for source in stage.rewind}


def curve_of(stage: Stage, steps: int, parent: StagePlan | None, length: int) -> Curve:
  """The curve that a stage runs along: its own, or what is left of the last stage's.

  Raises:
    UserError: there is no curve, or it is too short.
  """
  goes_on = parent is not None and stage.handoff.rate == KEPT
  if stage.schedule is not None:
    horizon = stage.schedule.horizon
    laid_out = steps if horizon is None else int(horizon / (stage.batch * length) + 0.5)
    if laid_out < steps:
      raise UserError(
        f"stage '{stage.name}': {type(stage.schedule).__name__}.horizon is {horizon:,.0f} tokens, less than the stage's own {stage.tokens:,.0f}."
      )
    return Curve(stage.schedule, laid_out, 0, float(parent.rates[-1]) if goes_on else None)
  if not goes_on:
    raise UserError(
      f"stage '{stage.name}' has no schedule. Set Stage.schedule; only a stage whose Handoff.rate is '{KEPT}' goes on along the last curve."
    )
  curve = dataclasses.replace(parent.curve, used=parent.curve.used + parent.steps)
  if curve.used + steps > curve.steps:
    raise UserError(
      f"stage '{stage.name}' goes on along the curve of '{parent.stage.name}', which has {curve.steps - curve.used:,} steps left "
      f'of the {steps:,} wanted. Set {type(curve.schedule).__name__}.horizon to the tokens of all the stages that share it.'
    )
  return curve
