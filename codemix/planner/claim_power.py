"""What the claims of a study can show, each between its own arms."""

from __future__ import annotations

from collections.abc import Mapping

from codemix.evaluation.results import HELD_OUT_PREFIX, split_shots
from codemix.evaluation.tasks.registry import group_of
from codemix.evaluation.tasks.task import PREFIX
from codemix.inference.components import Components, of_sum
from codemix.inference.power import Design
from codemix.inference.resolution import resolution
from codemix.planner.group_noise import group_noise
from codemix.planner.known_noise import KnownNoise
from codemix.planner.power_plan import Comparison
from codemix.planner.power_settings import Power
from codemix.studies.claim_comparison import Compared, compare
from codemix.studies.claim_metric import BITS, Metric
from codemix.studies.recipe import Study


def plan_claims(study: Study, settings: Power, noise: KnownNoise, samples: int) -> tuple[list[Comparison], dict[str, str]]:
  """(what the claims can show, why the others are not planned, by name).

  A claim that a figure is higher or lower is planned for the wanted effect beyond its margin, one of equality for arms that do not differ.
  All seeds of both arms count, and all claims are corrected for their number.

  Args:
    samples: answers of an item, where a task samples them.
  """
  planned, left_out = [], {}
  for name, compared in compare(study).items():
    components = _noise_of(compared.metric, noise)
    if isinstance(components, str):
      left_out[name] = components
    else:
      planned.append(_planned(study, settings, name, compared, components, samples))
  return planned, left_out


def _planned(study: Study, settings: Power, name: str, compared: Compared, components: Components, samples: int) -> Comparison:
  claim, unit = study.claims[name], compared.metric.unit
  own, base = ({study.recipes[recipe].seed for recipe in side.arm.recipes} for side in (compared.own, compared.base))
  design = Design(
    len(own), len(base), shared=own == base, samples=samples, comparisons=settings.comparisons or len(study.claims),
    question='equal' if claim.expected == 'equal' else 'different',
  )  # fmt: skip
  effect = claim.margin if claim.expected == 'equal' else settings.effect_bits if unit == BITS else settings.effect
  what = claim.metric.removeprefix(PREFIX).removeprefix(HELD_OUT_PREFIX)
  return Comparison((compared.own.arm.name,), compared.base.arm.name, resolution(what, effect, components, design, settings.power, unit), name)


def _noise_of(metric: Metric, noise: KnownNoise) -> Components | str:
  """Of a metric; or why it is not known."""
  if metric.unit == BITS:
    source = next(iter(metric.weights)).removeprefix(HELD_OUT_PREFIX)
    if source.startswith(PREFIX):
      return f"the noise of the bits per byte of {source.removeprefix(PREFIX)}'s answers is not among the components"
    return noise.sources.get(source) or _unknown(source, noise)
  weights = {task.removeprefix(PREFIX): weight for task, weight in metric.weights.items()}
  if len(weights) == 1:
    (task,) = weights
    return {split_shots(name)[0]: of for name, of in noise.scores.items()}.get(task) or _unknown(task, noise)
  return _of_groups(weights, noise)


def _of_groups(weights: Mapping[str, float], noise: KnownNoise) -> Components | str:
  """Of a weighted mean of tasks, in which those of a group have the same weight."""
  of_group: dict[str, float] = {}
  for task, weight in weights.items():
    of_group[group_of(task)] = of_group.get(group_of(task), 0.0) + weight
  parts = {group: group_noise(noise.scores, group) for group in of_group}
  if unknown := [group for group, of in parts.items() if of is None]:
    return f'the noise of no task of {" and ".join(unknown)} is known'
  return of_sum([(of_group[group], of) for group, of in parts.items()])


def _unknown(name: str, noise: KnownNoise) -> str:
  silent = any(split_shots(each)[0] == name for each in noise.left_out)
  return f'{"all components" if silent else "the noise"} of {name} {"are 0" if silent else "is not known"}'
