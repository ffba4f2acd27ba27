"""The comparisons that a study's report will make, and what each of them can resolve with the study's seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from codemix.errors import UserError
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import resolution
from codemix.planner.chips import Chip
from codemix.planner.claim_power import plan_claims
from codemix.planner.compared_lines import compared_lines, lines_tested
from codemix.planner.forecast import Prices
from codemix.planner.known_noise import KnownNoise, known_noise, reasons
from codemix.planner.power_plan import Comparison, PowerPlan
from codemix.planner.power_settings import Power
from codemix.planner.programs import model_flops
from codemix.planner.published import comparable
from codemix.planner.published_effects import PARAMETERS, published_power
from codemix.planner.roofline import chip_hours
from codemix.planner.stages import planned_stages
from codemix.studies.arms import Arm
from codemix.studies.baselines import baseline_arm_of, without_baseline
from codemix.studies.claim_metric import BITS
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study

WITHOUT_PRICE = Prices()


def plan_power(study: Study, settings: Power, components: Mapping[str, Components], chip: Chip | None = None, prices: Prices = WITHOUT_PRICE) -> PowerPlan:
  """What every comparison of a study can resolve.

  Args:
    components: by task, in points, or by source that scores the stages, in bits per byte: `settings.components`, and perhaps more.
    chip: whose hours are counted, at the MFU of `prices`; None counts none.

  Raises UserError if the study has no arm that is compared with another of its model, `settings.components` names what nobody knows, or
  nothing is left to plan.
  """
  arms = planned_arms(study)
  base = next(arm for arm in arms if study.baseline in arm.recipes)
  model = study.recipes[study.baseline].model
  compared = _compared(study, arms)
  if not compared:
    raise UserError(f"the study has no arm to compare with its baseline '{study.baseline}': add a recipe of the same model that differs in more than its seed.")
  if settings.items == 'fixed':
    components = {task: dataclasses.replace(of, arm_item=0.0) for task, of in components.items()}
  noise = known_noise(study, components, list(settings.components))
  if not noise.tables:
    raise UserError(f'there is no noise to plan with ({"; ".join(reasons(noise.left_out))}). State the noise of what the study measures, in Power.components.')
  lines, samples = list(compared_lines(study)), _samples(study)
  counts = {table: settings.comparisons or max(1, lines_tested(lines) * noise.columns[table]) for table in dict.fromkeys(noise.tables.values())}
  other_tokens = dict.fromkeys(line.arm for line in lines if not line.same_tokens)
  tested = [(arm, of_base) for arm, of_base in compared if arm.name not in other_tokens]
  of_claims, claims_left_out = plan_claims(study, settings, noise, samples)
  if not tested and not of_claims:
    raise UserError(
      f'the report would test nothing, since no arm ends after as many tokens as what it is compared with: {", ".join(other_tokens)}. '
      'Give arms as many tokens as their baseline, or a Recipe.baseline of as many.'
    )
  return PowerPlan(
    study=study.name,
    settings=settings,
    comparisons=[*_of_tables(study, settings, noise, counts, tested, samples), *of_claims],
    hours_of_a_seed=_hours(study, arms, chip, prices.mfu),
    corrected_for=counts,
    price=prices.chip_hour,
    seeds=len(base.recipes),
    scores=noise.scores,
    published=published_power(noise.scores, len(base.recipes), settings.power) if any(run.parameters == PARAMETERS for run, _ in comparable(model)) else (),
    as_if=noise.as_if,
    left_out=noise.left_out,
    claims_left_out=claims_left_out,
    other_tokens=list(other_tokens),
  )


def _compared(study: Study, arms: list[Arm]) -> list[tuple[Arm, Arm]]:
  """Each arm that is compared with another of its model, with that one."""
  model_of = lambda arm: study.recipes[arm.recipes[0]].model.identity()
  pairs = [(arm, baseline_arm_of(study, arms, arm)) for arm in arms]
  return [(arm, base) for arm, base in pairs if arm != base and model_of(arm) == model_of(base)]


def _of_tables(
  study: Study, settings: Power, noise: KnownNoise, counts: Mapping[str, int], tested: Sequence[tuple[Arm, Arm]], samples: int
) -> Iterator[Comparison]:
  """The arms after their last stages, beside their baselines, task by task."""
  alike: dict[tuple[str, int, int, bool], list[str]] = {}
  seeds_of = lambda arm: {study.recipes[name].seed for name in arm.recipes}
  for arm, base in tested:
    own, theirs = seeds_of(arm), seeds_of(base)
    alike.setdefault((base.name, len(own), len(theirs), own == theirs), []).append(arm.name)
  for task, table in noise.tables.items():
    of, unit = noise.of(task)
    effect = settings.effect_bits if unit == BITS else settings.effect
    for (base_name, own, theirs, shared), names in alike.items():
      design = Design(own, theirs, shared=shared, samples=samples, comparisons=counts[table])
      yield Comparison(tuple(names), base_name, resolution(task, effect, of, design, settings.power, unit))


def _samples(study: Study) -> int:
  """Answers of an item, where a task samples them."""
  decoding = study.evaluation.decoding if study.evaluation else None
  return decoding.samples if decoding else 1


def _hours(study: Study, arms: Sequence[Arm], chip: Chip | None, mfu: float) -> float | None:
  if chip is None:
    return None
  one_seed = dataclasses.replace(study, recipes={name: without_baseline(study.recipes[name]) for name in (arm.recipes[0] for arm in arms)}, baseline=None, claims={})
  return sum(chip_hours(stage.steps * model_flops(stage.train_step()), chip, mfu) for stage in planned_stages(one_seed))
