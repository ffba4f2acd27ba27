"""The effects that the paper reports from single runs, and whether seed noise would let a study see them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import Resolution, resolution
from codemix.published import models
from codemix.published.models import SIZES, PublishedModel


@dataclasses.dataclass(frozen=True)
class PublishedEffect:
  """A difference of two models of the paper (arXiv:2408.10914).

  Attributes:
    arm, baseline: what is compared (`PublishedModel.label`).
    group: of tasks, whose mean score it is (`GROUPS`).
    points: the difference of the two scores (`codemix.published.models`).
    source: the table or figure that shows them.
  """

  arm: str
  baseline: str
  group: str
  points: float
  source: str


PARAMETERS = SIZES['470M']  # of all these models


def _effect(arm: PublishedModel, baseline: PublishedModel, group: str, figure: str = '') -> PublishedEffect:
  """The difference of two printed scores.

  Args:
    figure: that shows both, if it is not the source of the arm's score.
  """
  points = arm.scores[GROUPS[group].label] - baseline.scores[GROUPS[group].label]
  return PublishedEffect(arm.label, baseline.label, group, round(points, 2), figure or arm.source)


PUBLISHED_EFFECTS = (
  _effect(models.BALANCED_TO_TEXT, models.TEXT_ONLY, 'nl_reasoning'),
  _effect(models.CODE_TO_TEXT, models.TEXT_ONLY, 'nl_reasoning'),
  _effect(models.BALANCED_ONLY, models.TEXT_ONLY, 'nl_reasoning'),
  _effect(models.BALANCED_TO_TEXT, models.TEXT_ONLY, 'knowledge'),
  _effect(models.BALANCED_TO_TEXT, models.TEXT_ONLY, 'code'),
  _effect(models.BALANCED_ONLY, models.TEXT_ONLY, 'code'),
  _effect(models.BALANCED_TO_TEXT_COOLED, models.TEXT_ONLY_COOLED, 'nl_reasoning'),
  _effect(models.BALANCED_TO_TEXT_COOLED, models.TEXT_ONLY_COOLED, 'knowledge'),
  _effect(models.BY_SHARE[0.25], models.BY_SHARE[0.0], 'nl_reasoning'),
  _effect(models.BY_SHARE[1.0], models.BY_SHARE[0.0], 'nl_reasoning'),
  _effect(models.BY_SHARE[0.25], models.BY_SHARE[0.0], 'knowledge'),
  _effect(models.BY_SHARE[1.0], models.BY_SHARE[0.25], 'code'),
  _effect(models.CODE_MARKUP, models.CODE_WEB, 'nl_reasoning'),
  _effect(models.CODE_ADJACENT, models.CODE_WEB, 'nl_reasoning'),
  _effect(models.CODE_SYNTHETIC, models.CODE_MARKUP, 'nl_reasoning'),
  _effect(models.CODE_SYNTHETIC, models.CODE_MARKUP, 'code'),
  _effect(models.WITH_SYNTHETIC, models.WITHOUT_SYNTHETIC, 'nl_reasoning'),
  _effect(models.WITH_SYNTHETIC, models.WITHOUT_SYNTHETIC, 'code'),
  _effect(models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, 'nl_reasoning', 'Figure 6'),
  _effect(models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, 'code', 'Figure 6'),
  _effect(models.COOLED_WITHOUT_CODE, models.BALANCED_TO_TEXT, 'nl_reasoning'),
)


def published_power(components: Mapping[str, Components], seeds: int, wanted: float) -> list[tuple[PublishedEffect, Resolution | None]]:
  """What a study with so many seeds an arm can show of each effect, corrected for all that can be judged; None without noise.

  The claims are about the tasks' own items: their choice is not in the noise.

  Args:
    components: of tasks, in points.
    wanted: power.
  """
  noise = {effect.group: group_noise(components, effect.group) for effect in PUBLISHED_EFFECTS}
  count = sum(noise[effect.group] is not None for effect in PUBLISHED_EFFECTS)
  design = Design(seeds, seeds, shared=True, comparisons=max(count, 1))
  return [
    (effect, of and resolution(GROUPS[effect.group].label, abs(effect.points), of, design, wanted))
    for effect in PUBLISHED_EFFECTS
    for of in [noise[effect.group]]
  ]


def stated_tasks(components: Mapping[str, Components], group: str) -> Sequence[str]:
  """The tasks of a group whose noise is known; with examples a task is called 'piqa-5shot'."""
  known = {name if name in GROUPS[group].tasks else name.rpartition('-')[0] for name in components}
  return [task for task in GROUPS[group].tasks if task in known]


def group_noise(components: Mapping[str, Components], group: str) -> Components | None:
  """Of the mean score of a group's tasks, which are taken as independent; None if that of no task is known.

  Tasks whose noise is unknown count with the mean variance of the others.
  """
  tasks = stated_tasks(components, group)
  if not tasks:
    return None
  of = {name if name in tasks else name.rpartition('-')[0]: each for name, each in components.items()}
  variance = sum(of[task].figure_variance() for task in tasks) / len(tasks)
  return Components(seed=math.sqrt(variance / len(GROUPS[group].tasks)))
