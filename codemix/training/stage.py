"""A stage of a run: what a user writes, and its plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from codemix.checked import From, Name, Tokens, checked, shown
from codemix.data.batches.source import Cursor, Source
from codemix.data.batches.source_use import SourceUse
from codemix.data.batches.stage_rows import StageRows
from codemix.data.mixtures.mixture import Mixture, Spec
from codemix.data.mixtures.schedule import MixtureSchedule, schedule_of
from codemix.data.order.targets import Segment
from codemix.errors import UserError, nearest
from codemix.identity import digest
from codemix.storage import as_path
from codemix.training.curves import Curve, depends_on_a_cosine
from codemix.training.handoff import KEPT, Handoff
from codemix.training.schedules import Schedule
from codemix.training.skips import Skips
from codemix.training.start import Read, Start

TRAINING = 'training'  # what the process does that holds the lock of a stage's folder
MOST_STEPS = 10**8  # of a stage: its curve is in memory, and so many steps take years


@dataclasses.dataclass(frozen=True)
@checked
class Stage:
  """One stage: a number of tokens of a mixture, on a schedule.

  Attributes:
    name: readable name; the folder of its results begins with it.
    tokens: loss tokens, and with them those of prompts; the nearest whole number of steps is trained, and the
      remainder reported.
    mixture: sources and their fractions of the loss tokens (`data.mixture`),
      or a `MixtureSchedule` of such along the stage.
    shares: what the fractions are of where sources have prompts: 'loss_tokens', or 'tokens', which are all that is read. Without
      prompts the two are the same.
    batch: rows of a global batch.
    schedule: the learning rate; None follows the curve of the stage before.
    handoff: what is taken over; in a first stage from `Recipe.start`, and without one it has no meaning.
    rewind: sources read again from their first row; the others continue where the stage before stopped.
    evaluate_every: steps between evaluations during the stage; None: at its end only. It changes nothing that is trained.
    skips: which steps are read but not learned from; None: a loss that is not finite ends the run.
  """

  name: Name
  tokens: Tokens
  mixture: Spec | MixtureSchedule
  batch: Annotated[int, From(1), 'rows']
  schedule: Schedule | None = None
  handoff: Handoff = Handoff()
  rewind: tuple[Name, ...] = ()
  evaluate_every: Annotated[int, From(1), 'steps'] | None = None
  skips: Skips | None = None
  shares: Literal['loss_tokens', 'tokens'] = 'loss_tokens'

  def __post_init__(self):
    if any(not (c.isalnum() or c in '_.') for c in self.name) or len(self.name.encode()) > 200:
      raise UserError(f'Stage.name is {shown(self.name)}; it names a folder, so write at most 200 letters, digits, _ and dots.')
    self.mixtures()

  def mixtures(self) -> MixtureSchedule:
    """The parsed mixture, with a single knot if it is constant along the stage."""
    return schedule_of(self.mixture, f"Stage.mixture of stage '{self.name}'")

  def steps(self, length: int) -> int:
    """Steps of `batch` rows of `length` tokens nearest to the budget (halves up).

    Raises UserError if the budget is less than half a step.
    """
    steps = int(self.tokens / (self.batch * length) + 0.5)
    if steps > MOST_STEPS:
      raise UserError(
        f"stage '{self.name}': {self.tokens:.6g} tokens are {steps:.6g} steps of {self.batch} x {length:,} tokens; more than {MOST_STEPS:,} are not planned. Set Stage.tokens lower, or Stage.batch higher."
      )
    if not steps:
      raise UserError(
        f"stage '{self.name}': {self.tokens:,.0f} tokens are less than one step of {self.batch} x {length:,} = {self.batch * length:,} tokens."
      )
    return steps

  @property
  def budget(self) -> Fraction:
    """`tokens`, exactly."""
    return Fraction(self.tokens)

  def written(self) -> dict:
    """What the user wrote, name and mixture left out, as plain data."""
    schedule = self.schedule and {'kind': type(self.schedule).__name__, **dataclasses.asdict(self.schedule)}
    return {
      'tokens': self.tokens,
      'schedule': schedule,
      'handoff': dataclasses.asdict(self.handoff),
      'rewind': sorted(self.rewind),
    }


class Rates(NamedTuple):
  """The learning rate of a stage.

  Attributes:
    values: float32 [steps].
    described: what they are, as plain data (`Curve.describe`).
    rest: the curve that a following stage without a schedule uses; None if it is not known.
  """

  values: np.ndarray
  described: list
  rest: Curve | None


@dataclasses.dataclass(frozen=True, eq=False)
class StagePlan:
  """A stage with everything decided and every input of the user checked.

  Attributes:
    stage: as written.
    parent: the plan of the stage before in the recipe, or None.
    identity: everything that decides the result; the parent by its hash.
    earlier_hash: its hash in the version with `NUMERICS` 1, or None.
    steps: steps of the stage.
    first_step: the run's step count when the stage begins.
    length: tokens of a row.
    seed: the run's seed.
    mixtures: the stage's, with every share in tokens.
    draws: what each source gives.
    segments: how the sources' shares go along the stage.
    orders: the folder that keeps the orders of long stages.
    rates: float32 [steps], the learning rate of each step.
    start: what a first stage begins with, or None.
  """

  stage: Stage
  parent: StagePlan | None
  identity: dict
  earlier_hash: str | None
  steps: int
  first_step: int
  length: int
  seed: int
  mixtures: MixtureSchedule
  draws: tuple[SourceUse, ...]
  segments: tuple[Segment, ...]
  orders: Path | None
  rates: np.ndarray
  start: Start | None = None

  @property
  def before(self) -> StagePlan | Start | None:
    """What the hand-off is from."""
    return self.parent or self.start

  @property
  def name(self) -> str:
    return self.stage.name

  @property
  def hash(self) -> str:
    return digest(self.identity)

  @property
  def folder_name(self) -> str:
    return f'{self.stage.name}-{self.hash[:12]}'

  @property
  def tokens(self) -> int:
    """Tokens read: those that are trained on, and the prompts of sources that have them."""
    return self.steps * self.stage.batch * self.length

  def mixture(self) -> Mixture:
    """The tree of the stage's mixture: the mean over the stage, if it changes."""
    return self.mixtures.mean(self.stage.tokens)

  @property
  def remainder_tokens(self) -> float:
    """The budget less what whole steps train; negative if the last step goes over."""
    return self.stage.tokens - self.tokens

  @property
  def last_step(self) -> int:
    """The run's step count when the stage is done."""
    return self.first_step + self.steps

  def rows(self, sources: Mapping[str, Source]) -> StageRows:
    """The rows of the stage, from the open sources by name."""
    return StageRows(sources, self.draws, self.segments, self.seed, self.orders)

  def cursors_after(self) -> dict[str, Cursor]:
    """How far every source was read at the end of the stage."""
    before = cursors_at_start(self.stage, self.before)
    drawn = {d.source: before.get(d.source, Cursor()).after(d.rows) for d in self.draws}
    return {**before, **drawn}

  def read_after(self) -> dict[str, Read]:
    """The same with what the rows are of, also of sources that only stages before `Recipe.start` read."""
    before, digests = self.before.read_after() if self.before else {}, self.identity['sources']
    data = lambda source: digests[source] if source in digests else before[source].data
    return {**before, **{name: Read(data(name), self.length, self.seed, at) for name, at in self.cursors_after().items()}}

  def lineage(self) -> list[StagePlan]:
    """From the first stage to this one."""
    return [*(self.parent.lineage() if self.parent else []), self]


def stage_folder(output: str | Path, plan: StagePlan) -> Path:
  """The folder of a stage's result, found by its hash, so that a renamed stage finds its result."""
  stages = as_path(output) / 'stages'
  found = sorted(stages.glob(f'*-{plan.hash[:12]}'))
  if not found and plan.earlier_hash:
    found = [done.parent for done in sorted(stages.glob(f'*-{plan.earlier_hash[:12]}/done.json'))]
  return found[0] if found else stages / plan.folder_name


def is_done(output: str | Path, plan: StagePlan) -> bool:
  return (stage_folder(output, plan) / 'done.json').exists()


def cursors_at_start(stage: Stage, before: StagePlan | Start | None) -> dict[str, Cursor]:
  """How far each source was read when a stage begins."""
  cursors = before.cursors_after() if before else {}
  if unknown := [source for source in stage.rewind if source not in cursors]:
    raise UserError(
      f"stage '{stage.name}' rewinds '{unknown[0]}', which no stage before it has read.{nearest(unknown[0], cursors)}"
    )
  return cursors | {source: cursors[source].rewound() for source in stage.rewind}


def rewound(stage: Stage, before: StagePlan | Start | None) -> list[str]:
  """The sources of `rewind` whose cursor is not at their first row already."""
  cursors = before.cursors_after() if before else {}
  return sorted({source for source in stage.rewind if cursors[source].cursor})


def rates_of(stage: Stage, steps: int, before: Rates | None) -> Rates:
  """The rates along a stage's own schedule, or along the rest of the curve of the stage before.

  `before` is None for a first stage. Raises UserError if there is no curve, it is too short, or it
  has values that are not rates.
  """
  curve = _curve_of(stage, steps, before)
  values = curve.rates(stage.budget, steps)
  if not (np.isfinite(values) & (values >= 0)).all():
    raise UserError(
      f'its rates go from {values.min()} to {values.max()}; a rate is a finite number of at least 0. Change {curve.schedule}.'
    )
  return Rates(values, curve.describe(stage.budget, steps), curve.after(stage.budget))


def _curve_of(stage: Stage, steps: int, before: Rates | None) -> Curve:
  goes_on = before is not None and stage.handoff.rate == KEPT
  tokens_per_step = stage.budget / steps
  if stage.schedule is not None:
    horizon = stage.budget if stage.schedule.horizon is None else Fraction(stage.schedule.horizon)
    if horizon + tokens_per_step / 2 < stage.budget:
      raise UserError(
        f'{type(stage.schedule).__name__}.horizon is {stage.schedule.horizon:,.0f} tokens, less than the {stage.tokens:,.0f} of the stage that begins it.'
      )
    start = float(before.values[-1]) if goes_on else None
    portable = not (goes_on and depends_on_a_cosine(before.described))
    return stage.schedule.lay_out(horizon, tokens_per_step, start, portable)
  if not goes_on:
    raise UserError(
      f"it has no schedule. Set Stage.schedule; only a stage whose Handoff.rate is '{KEPT}' goes on along the last curve."
    )
  if before.rest is None:
    raise UserError('it has no schedule, and the curve of its start (Recipe.start) began in a stage before that one, so the rest of it is not known. Set Stage.schedule.')
  # The tokens of the stages may differ from the horizon by a rounding.
  if before.rest.left + tokens_per_step / 2 < stage.budget:
    raise UserError(
      f"it goes on along the curve of the stage before, which has {max(float(before.rest.left), 0):,.0f} tokens left of the {stage.tokens:,.0f} "
      f'wanted. Set {before.rest.schedule}.horizon to the tokens of all the stages that share it.'
    )
  return before.rest
