"""A pilot: a few seeds of one arm of a study, from which the noise of its scores is measured before the rest is paid for."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Annotated

from codemix.checked import From, Name, checked
from codemix.errors import UserError
from codemix.studies.baselines import without_baseline
from codemix.studies.fields import ARM
from codemix.studies.named_arms import arm_named, stage_named
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Recipe, Study

ENOUGH = 3  # seeds: an SD from two is known to a factor of 0.4 to 32


@dataclasses.dataclass(frozen=True)
@checked
class Pilot:
  """Which runs `codemix study --pilot` makes. They are units of the study: what the pilot has trained, the study does not train again.

  Attributes:
    arm: a recipe of the study, which stands for its arm, or the arm's name; None for the arm of the baseline.
    seeds: how many seeds of the arm, those of the study first, then 0, 1, 2, ...
    stage: the stage after which scores are taken: its name, or its place from 1; None for the last one. Later stages are not trained.
  """

  arm: Name | None = None
  seeds: Annotated[int, From(2), 'seeds'] = 3
  stage: Annotated[int, From(1)] | Name | None = None


@dataclasses.dataclass(frozen=True)
class PilotPlan:
  """A pilot of a study.

  Attributes:
    arm: its name.
    seeds: of its runs.
    stage: the name of the last stage, and its place from 1.
    study: the runs as a study of its own, with the evaluation of the whole study, and without claims and judge.
  """

  arm: str
  seeds: tuple[int, ...]
  stage: tuple[str, int]
  study: Study


def plan_pilot(study: Study, pilot: Pilot) -> PilotPlan:
  """Raises UserError if the arm or the stage does not exist, or the study scores nothing."""
  if not study.validation and study.evaluation is None:
    raise UserError('a pilot measures the noise of scores, and the study scores nothing: bind Study.validation or Study.evaluate.')
  arm = arm_named(study, planned_arms(study), pilot.arm or study.baseline, 'Pilot.arm')
  of_seed = {study.recipes[name].seed: study.recipes[name] for name in arm.recipes}
  last = stage_named(study, arm, pilot.stage, 'Pilot.stage')
  more = (seed for seed in itertools.count() if seed not in of_seed)
  seeds = tuple(itertools.islice(itertools.chain(of_seed, more), pilot.seeds))
  first = study.recipes[arm.recipes[0]]
  recipes = {f'{arm.name}, seed {seed}': _run(of_seed.get(seed, first), seed, last + 1, arm.name) for seed in seeds}
  runs = dataclasses.replace(study, recipes=recipes, baseline=None, claims={}, judge=None)
  return PilotPlan(arm.name, seeds, (first.stages[last].name, last + 1), runs)


def _run(recipe: Recipe, seed: int, stages: int, arm: str) -> Recipe:
  return dataclasses.replace(without_baseline(recipe), seed=seed, stages=recipe.stages[:stages], fields={**recipe.fields, ARM: arm})
