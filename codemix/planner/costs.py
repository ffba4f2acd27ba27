"""Tokens and chip-hours of a study by arithmetic alone: nothing is compiled, no source is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from codemix.planner.chips import CHIPS, Chip
from codemix.planner.forecast import Prices
from codemix.planner.programs import model_flops
from codemix.planner.published import published_hours
from codemix.planner.roofline import chip_hours
from codemix.planner.stages import PlannedStage, planned_stages
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study

CHIP = 'v5e'  # the paper's


@dataclasses.dataclass(frozen=True)
class StageCost:
  """One stage, which is trained once for all recipes that share it.

  Attributes:
    flops: model FLOPs of its steps.
    hours: chip-hours at the assumed MFU.
    published: chip-hours of the paper's run of this size, in proportion to the tokens; None if it has none (`published_hours`).
  """

  stage: PlannedStage
  flops: float
  hours: float
  published: float | None


@dataclasses.dataclass(frozen=True)
class Total:
  """Of some stages. `published` is of those that the paper has a cost for, `without` counts the others."""

  stages: int
  tokens: int
  hours: float
  published: float
  without: int


@dataclasses.dataclass(frozen=True)
class Costs:
  """What a study takes.

  Attributes:
    chip: whose peak the hours are of.
    stages: each distinct stage once, parents first.
    first_seed: the stages of one recipe of each arm.
    arms: how many; seeds: of the arm that has most.
  """

  study: Study
  prices: Prices
  chip: Chip
  stages: Sequence[StageCost]
  first_seed: Sequence[StageCost]
  arms: int
  seeds: int

  @property
  def shared(self) -> Total:
    """With every stage trained once."""
    return _total([(cost, 1) for cost in self.stages])

  @property
  def alone(self) -> Total:
    """With each recipe trained from its beginning."""
    return _total([(cost, len(cost.stage.recipes)) for cost in self.stages])


def study_costs(study: Study, prices: Prices) -> Costs:
  """The costs of every stage.

  Raises UserError as `planned_stages` does.
  """
  chip = CHIPS[CHIP]
  stages = [_cost(stage, chip, prices) for stage in planned_stages(study)]
  arms = planned_arms(study)
  first = {arm.recipes[0] for arm in arms}
  return Costs(
    study=study,
    prices=prices,
    chip=chip,
    stages=stages,
    first_seed=[cost for cost in stages if first & set(cost.stage.recipes)],
    arms=len(arms),
    seeds=max(len(arm.recipes) for arm in arms),
  )


def _cost(stage: PlannedStage, chip: Chip, prices: Prices) -> StageCost:
  flops = stage.steps * model_flops(stage.train_step())
  return StageCost(stage, flops, chip_hours(flops, chip, prices.mfu), published_hours(stage.recipe.model, stage.tokens))


def _total(counted: Sequence[tuple[StageCost, int]]) -> Total:
  return Total(
    stages=sum(times for _, times in counted),
    tokens=sum(times * cost.stage.tokens for cost, times in counted),
    hours=sum(times * cost.hours for cost, times in counted),
    published=sum(times * cost.published for cost, times in counted if cost.published is not None),
    without=sum(times for cost, times in counted if cost.published is None),
  )
