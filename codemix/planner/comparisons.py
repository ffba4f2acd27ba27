"""The comparisons that a study's report will make, and what each of them can resolve with the study's seeds."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from codemix.errors import UserError, nearest
from codemix.evaluation.tasks.task import PREFIX
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import Resolution, resolution
from codemix.planner.chips import Chip
from codemix.planner.forecast import Prices
from codemix.planner.power_settings import Power
from codemix.planner.programs import model_flops
from codemix.planner.published import comparable
from codemix.planner.published_effects import (
  PARAMETERS,
  PublishedEffect,
  published_power,
)
from codemix.planner.roofline import chip_hours
from codemix.planner.stages import planned_stages
from codemix.studies.arms import Arm
from codemix.studies.baselines import baseline_arm_of, without_baseline
from codemix.studies.claim_comparison import compare
from codemix.studies.claim_metric import BITS, POINTS
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study

WITHOUT_PRICE = Prices()


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Arms that are compared with one baseline in the same way, on one task.

  Attributes:
    arms: names of the arms that have as many seeds in common with the baseline.
    claim: the name of the claim that compares them; '' for a comparison of the report's tables.
  """

  arms: tuple[str, ...]
  baseline: str
  resolution: Resolution
  claim: str = ''


@dataclasses.dataclass(frozen=True)
class PowerPlan:
  """What `codemix plan --power` reports.

  Attributes:
    comparisons: task by task, then those of the claims.
    hours_of_a_seed: chip-hours of every arm with one seed, stages that arms share counted once; None without a chip.
    corrected_for: comparisons of each table, by the unit of its figures. Claims are corrected for their own number.
    price: of a chip-hour; None if it is not given.
    seeds: of the baseline's arm.
    components: of each task.
    published: what such a study can show of the effects that the paper reports; empty if its model is of another size than theirs.
    unknown: tasks whose components are all 0, so that they are not planned.
  """

  study: str
  settings: Power
  comparisons: Sequence[Comparison]
  hours_of_a_seed: float | None
  corrected_for: Mapping[str, int]
  price: float | None = None
  seeds: int = 1
  components: Mapping[str, Components] = dataclasses.field(default_factory=dict)
  published: Sequence[tuple[PublishedEffect, Resolution | None]] = ()
  unknown: tuple[str, ...] = ()

  def hours(self, seeds: int | None) -> float | None:
    """Chip-hours of the whole study with so many seeds an arm; None if either is unknown."""
    return None if seeds is None or self.hours_of_a_seed is None else seeds * self.hours_of_a_seed


def plan_power(study: Study, settings: Power, components: Mapping[str, Components], chip: Chip | None = None, prices: Prices = WITHOUT_PRICE) -> PowerPlan:
  """What every comparison of a study can resolve.

  Args:
    components: by task, in points, or by source of `Study.validation`, in bits per byte; `settings.components` are not read.
    chip: whose hours are counted, at the MFU of `prices`; None counts none.

  Raises UserError if the study has no arm that is compared with another of its model, a task is not among those that the study evaluates, or nothing varies.
  """
  arms = planned_arms(study)
  base = next(arm for arm in arms if study.baseline in arm.recipes)
  model = study.recipes[study.baseline].model
  base_of = {arm.name: baseline_arm_of(study, arms, arm) for arm in arms}
  model_of = lambda arm: study.recipes[arm.recipes[0]].model
  compared = [arm for arm in arms if arm is not base_of[arm.name] and model_of(arm) == model_of(base_of[arm.name])]
  if not compared:
    raise UserError(f"the study has no arm to compare with its baseline '{study.baseline}': add a recipe of the same model that differs in more than its seed.")
  _require_evaluated(study, components)
  if settings.items == 'fixed':
    components = {task: dataclasses.replace(of, arm_item=0.0) for task, of in components.items()}
  unknown = tuple(task for task, of in components.items() if not of.is_known)
  components = {task: of for task, of in components.items() if of.is_known}
  if not components:
    raise UserError(f'all components of {", ".join(unknown)} are 0, which is no noise to plan with: state those of models whose scores differ.')
  units = {task: unit_of(study, task) for task in components}
  counts = {unit: settings.comparisons or len(compared) * tasks for unit, tasks in collections.Counter(units.values()).items()}
  alike: dict[tuple[str, int, int, bool], list[str]] = {}
  seeds_of = lambda arm: {study.recipes[name].seed for name in arm.recipes}
  for arm in compared:
    own, theirs = seeds_of(arm), seeds_of(base_of[arm.name])
    alike.setdefault((base_of[arm.name].name, len(own), len(theirs), own == theirs), []).append(arm.name)
  comparisons = []
  for task, of in components.items():
    effect = settings.effect_bits if units[task] == BITS else settings.effect
    for (of_base, own, theirs, shared), names in alike.items():
      design = Design(own, theirs, shared=shared, samples=_samples(study), comparisons=counts[units[task]])
      comparisons.append(Comparison(tuple(names), of_base, resolution(task, effect, of, design, settings.power, units[task])))
  comparisons += _of_claims(study, settings, components)
  published = published_power(components, len(base.recipes), settings.power) if any(run.parameters == PARAMETERS for run, _ in comparable(model)) else ()
  return PowerPlan(
    study.name, settings, comparisons, _hours(study, arms, chip, prices.mfu), counts, prices.chip_hour, len(base.recipes), components, published, unknown
  )


def unit_of(study: Study, task: str) -> str:
  """Of the components of a task: points, or bits per byte of a source."""
  evaluated = [each.name for each in study.evaluation.selected()] if study.evaluation else []
  return BITS if task in study.validation and task not in evaluated else POINTS


def _samples(study: Study) -> int:
  """Answers of an item, where a task samples them."""
  decoding = study.evaluation.decoding if study.evaluation else None
  return decoding.samples if decoding else 1


def _of_claims(study: Study, settings: Power, components: Mapping[str, Components]) -> Iterator[Comparison]:
  """The claims that a score of one task is higher or lower: what they resolve beyond their margins, with all seeds of both arms."""
  for name, compared in compare(study).items():
    tasks = [task.removeprefix(PREFIX) for task in compared.metric.weights]
    if compared.metric.unit != POINTS or len(tasks) > 1 or tasks[0] not in components or study.claims[name].expected == 'equal':
      continue
    own, base = ({study.recipes[recipe].seed for recipe in side.arm.recipes} for side in (compared.own, compared.base))
    design = Design(len(own), len(base), shared=own == base, samples=_samples(study), comparisons=settings.comparisons or len(study.claims))
    found = resolution(tasks[0], settings.effect, components[tasks[0]], design, settings.power)
    yield Comparison((compared.own.arm.name,), compared.base.arm.name, found, name)


def _require_evaluated(study: Study, components: Mapping[str, Components]) -> None:
  evaluated = [task.name for task in study.evaluation.selected()] if study.evaluation else []
  for name in components:
    # With examples a task is stored as 'piqa-5shot'.
    if evaluated and name.rpartition('-')[0] not in evaluated and name not in (*evaluated, *study.validation):
      raise UserError(f"Power.components names '{name}', which the study does not evaluate (Study.evaluate: {', '.join(evaluated)}).{nearest(name, evaluated)}")


def _hours(study: Study, arms: Sequence[Arm], chip: Chip | None, mfu: float) -> float | None:
  if chip is None:
    return None
  one_seed = dataclasses.replace(study, recipes={name: without_baseline(study.recipes[name]) for name in (arm.recipes[0] for arm in arms)}, baseline=None, claims={})
  return sum(chip_hours(stage.steps * model_flops(stage.train_step()), chip, mfu) for stage in planned_stages(one_seed))
