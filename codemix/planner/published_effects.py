"""The effects that the paper reports from single runs, and whether seed noise would let a study see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import Resolution, resolution
from codemix.planner.group_noise import group_noise
from codemix.published import models
from codemix.published.models import SIZES, PublishedModel
from codemix.published.win_rates import WIN_RATES, WinRates


@dataclasses.dataclass(frozen=True)
class PublishedEffect:
  """A difference of two models of the paper (arXiv:2408.10914).

  Attributes:
    arm, baseline: what is compared (`PublishedModel.label`).
    group: of tasks, whose mean score it is (`GROUPS`); or WIN_RATE.
    points: the difference of the two scores (`codemix.published`).
    source: the table or figure that shows them.
  """

  arm: str
  baseline: str
  group: str
  points: float
  source: str

  @property
  def label(self) -> str:
    """What tables call the figure."""
    return GROUPS[self.group].label if self.group in GROUPS else self.group


PARAMETERS = SIZES['470M']  # of all these models but those of Figure 3 at 2.8B
WIN_RATE = 'Win rate'  # of judged answers: wins and half of the ties, less 50%
_ALL = ('nl_reasoning', 'knowledge', 'code')


def _effects(arm: PublishedModel, baseline: PublishedModel, *groups: str, figure: str = '') -> list[PublishedEffect]:
  """The differences of two models' printed scores.

  Args:
    figure: that shows both, if it is not the source of the arm's scores.
  """
  names = [f'{model.label}, {model.size}' if arm.size != baseline.size else model.label for model in (arm, baseline)]
  return [
    PublishedEffect(*names, group, round(arm.scores[label] - baseline.scores[label], 2), figure or arm.source)
    for group in groups
    for label in [GROUPS[group].label]
  ]


def _win_rate(judged: WinRates) -> PublishedEffect:
  """By how much the second model is preferred: its wins less those of the first, halved."""
  return PublishedEffect(judged.second.label, judged.first.label, WIN_RATE, round((judged.second_wins - judged.first_wins) / 2, 2), judged.source)


PUBLISHED_EFFECTS: tuple[PublishedEffect, ...] = (
  *_effects(models.BALANCED_TO_TEXT, models.TEXT_ONLY, *_ALL),
  *_effects(models.CODE_TO_TEXT, models.TEXT_ONLY, 'nl_reasoning'),
  *_effects(models.BALANCED_ONLY, models.TEXT_ONLY, 'nl_reasoning', 'code'),
  *_effects(models.BALANCED_TO_TEXT_COOLED, models.TEXT_ONLY_COOLED, 'nl_reasoning', 'knowledge'),
  *_effects(models.LARGER_BALANCED_ONLY, models.BALANCED_ONLY, *_ALL),
  *_effects(models.LARGER_BALANCED_TO_TEXT, models.BALANCED_TO_TEXT, *_ALL),
  *_effects(models.LARGER_CODE_TO_TEXT, models.CODE_TO_TEXT, *_ALL),
  *(effect for share, model in models.BY_SHARE.items() if share for effect in _effects(model, models.BY_SHARE[0.0], *_ALL)),
  *_effects(models.BY_SHARE[1.0], models.BY_SHARE[0.25], 'code'),
  *_effects(models.CODE_MARKUP, models.CODE_WEB, 'nl_reasoning', 'code'),
  *_effects(models.CODE_ADJACENT, models.CODE_WEB, 'nl_reasoning', 'code'),
  *_effects(models.CODE_SYNTHETIC, models.CODE_MARKUP, 'nl_reasoning', 'code'),
  *_effects(models.WITH_SYNTHETIC, models.WITHOUT_SYNTHETIC, 'nl_reasoning', 'code'),
  *_effects(models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, *_ALL, figure='Figure 6'),
  *_effects(models.COOLED_WITHOUT_CODE, models.BALANCED_TO_TEXT, 'nl_reasoning', 'knowledge'),
  *_effects(models.BALANCED_TO_TEXT_COOLED, models.COOLED_WITHOUT_CODE, *_ALL, figure='Figure 6'),
  *map(_win_rate, WIN_RATES),
)


def published_power(components: Mapping[str, Components], seeds: int, wanted: float) -> list[tuple[PublishedEffect, Resolution | None]]:
  """What a study with so many seeds an arm can show of each effect, corrected for all that can be judged; None without noise.

  The claims are about the tasks' own items: their choice is not in the noise. Models of 2.8B are taken to be as noisy as those of 470M. The noise
  of a win rate is unknown: the number of prompts, 199, says how far it depends on their choice, and not how far on the seed.

  Args:
    components: of tasks, in points.
    wanted: power.
  """
  noise = {group: _of_own_items(components, group) for group in dict.fromkeys(effect.group for effect in PUBLISHED_EFFECTS)}
  count = sum(noise[effect.group] is not None for effect in PUBLISHED_EFFECTS)
  design = Design(seeds, seeds, shared=True, comparisons=max(count, 1))
  return [
    (effect, of and resolution(effect.label, abs(effect.points), of, design, wanted))
    for effect in PUBLISHED_EFFECTS
    for of in [noise[effect.group]]
  ]


def _of_own_items(components: Mapping[str, Components], group: str) -> Components | None:
  found = group_noise(components, group) if group in GROUPS else None
  return found and dataclasses.replace(found, arm_item=0.0)
