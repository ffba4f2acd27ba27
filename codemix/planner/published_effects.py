"""The effects that the paper reports from single runs, and whether seed noise would let a study see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import Resolution, resolution
from codemix.planner.group_noise import group_noise


@dataclasses.dataclass(frozen=True)
class PublishedEffect:
  """A difference of two models of the paper (arXiv:2408.10914).

  Attributes:
    arm, baseline: what is compared.
    group: of tasks, whose mean score it is (`GROUPS`); or WIN_RATE.
    points: the difference.
    source: the table or figure of the two scores.
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


PARAMETERS = 470e6  # of all these models but those of figure 3 at 2.8B, as the paper gives it
WIN_RATE = 'Win rate'  # of judged answers: wins and half of the ties, less 50%
# Differences of printed scores, or of a plot that gives them to about 0.05 (figure 4).
PUBLISHED_EFFECTS = (
  PublishedEffect('balanced to text', 'text only', 'nl_reasoning', 4.0, 'table 2'),
  PublishedEffect('code to text', 'text only', 'nl_reasoning', 4.3, 'table 2'),
  PublishedEffect('balanced only', 'text only', 'nl_reasoning', 2.8, 'table 2'),
  PublishedEffect('balanced to text', 'text only', 'knowledge', 0.4, 'table 2'),
  PublishedEffect('balanced to text', 'text only', 'code', 4.4, 'table 2'),
  PublishedEffect('balanced only', 'text only', 'code', 8.6, 'table 2'),
  PublishedEffect('balanced to text, cooled down', 'text only, cooled down', 'nl_reasoning', 0.8, 'table 2'),
  PublishedEffect('balanced to text, cooled down', 'text only, cooled down', 'knowledge', -0.2, 'table 2'),
  PublishedEffect('balanced only, 2.8B', 'balanced only, 470M', 'nl_reasoning', 2.7, 'figure 3'),
  PublishedEffect('balanced only, 2.8B', 'balanced only, 470M', 'knowledge', 15.5, 'figure 3'),
  PublishedEffect('balanced only, 2.8B', 'balanced only, 470M', 'code', 12.8, 'figure 3'),
  PublishedEffect('balanced to text, 2.8B', 'balanced to text, 470M', 'nl_reasoning', 2.8, 'figure 3'),
  PublishedEffect('balanced to text, 2.8B', 'balanced to text, 470M', 'knowledge', 17.2, 'figure 3'),
  PublishedEffect('balanced to text, 2.8B', 'balanced to text, 470M', 'code', 7.6, 'figure 3'),
  PublishedEffect('code to text, 2.8B', 'code to text, 470M', 'nl_reasoning', 4.6, 'figure 3'),
  PublishedEffect('code to text, 2.8B', 'code to text, 470M', 'knowledge', 16.1, 'figure 3'),
  PublishedEffect('code to text, 2.8B', 'code to text, 470M', 'code', 7.6, 'figure 3'),
  PublishedEffect('25% code', '0% code', 'nl_reasoning', 1.74, 'figure 4'),
  PublishedEffect('50% code', '0% code', 'nl_reasoning', 1.52, 'figure 4'),
  PublishedEffect('75% code', '0% code', 'nl_reasoning', 0.71, 'figure 4'),
  PublishedEffect('90% code', '0% code', 'nl_reasoning', -3.98, 'figure 4'),
  PublishedEffect('100% code', '0% code', 'nl_reasoning', -9.19, 'figure 4'),
  PublishedEffect('25% code', '0% code', 'knowledge', -0.31, 'figure 4'),
  PublishedEffect('50% code', '0% code', 'knowledge', -1.55, 'figure 4'),
  PublishedEffect('75% code', '0% code', 'knowledge', -2.83, 'figure 4'),
  PublishedEffect('90% code', '0% code', 'knowledge', -4.48, 'figure 4'),
  PublishedEffect('100% code', '0% code', 'knowledge', -7.86, 'figure 4'),
  PublishedEffect('25% code', '0% code', 'code', 3.92, 'figure 4'),
  PublishedEffect('50% code', '0% code', 'code', 5.64, 'figure 4'),
  PublishedEffect('75% code', '0% code', 'code', 8.25, 'figure 4'),
  PublishedEffect('90% code', '0% code', 'code', 9.35, 'figure 4'),
  PublishedEffect('100% code', '0% code', 'code', 10.46, 'figure 4'),
  PublishedEffect('100% code', '25% code', 'code', 6.54, 'figure 4'),
  PublishedEffect('code+markup', 'code', 'nl_reasoning', 1.1, 'figure 5'),
  PublishedEffect('code+markup', 'code', 'code', -2.0, 'figure 5'),
  PublishedEffect('code+adjacent', 'code', 'nl_reasoning', 2.5, 'figure 5'),
  PublishedEffect('code+adjacent', 'code', 'code', -1.2, 'figure 5'),
  PublishedEffect('code+synthetic', 'code+markup', 'nl_reasoning', 3.7, 'figure 5'),
  PublishedEffect('code+synthetic', 'code+markup', 'code', 4.8, 'figure 5'),
  PublishedEffect('balanced+synthetic to text', 'balanced to text', 'nl_reasoning', 1.0, 'figure 5'),
  PublishedEffect('balanced+synthetic to text', 'balanced to text', 'code', 1.4, 'figure 5'),
  PublishedEffect('cooldown with code', 'no cooldown', 'nl_reasoning', 1.9, 'figure 6'),
  PublishedEffect('cooldown with code', 'no cooldown', 'knowledge', 1.0, 'figure 6'),
  PublishedEffect('cooldown with code', 'no cooldown', 'code', 1.0, 'figure 6'),
  PublishedEffect('cooldown without code', 'no cooldown', 'nl_reasoning', -0.1, 'figure 6'),
  PublishedEffect('cooldown without code', 'no cooldown', 'knowledge', 0.3, 'figure 6'),
  PublishedEffect('cooldown with code', 'cooldown without code', 'nl_reasoning', 2.0, 'figure 6'),
  PublishedEffect('cooldown with code', 'cooldown without code', 'knowledge', 0.7, 'figure 6'),
  PublishedEffect('cooldown with code', 'cooldown without code', 'code', 1.0, 'figure 6'),
  PublishedEffect('cooldown without code', 'no cooldown', WIN_RATE, 13.05, 'figure 7'),
  PublishedEffect('cooldown with code', 'no cooldown', WIN_RATE, 16.85, 'figure 7'),
  PublishedEffect('balanced only, cooled down', 'text only, cooled down', WIN_RATE, -1.5, 'figure 8'),
  PublishedEffect('balanced to text, cooled down', 'text only, cooled down', WIN_RATE, 1.5, 'figure 8'),
  PublishedEffect('code to text, cooled down', 'text only, cooled down', WIN_RATE, 1.5, 'figure 8'),
  PublishedEffect('code to text', 'text only', WIN_RATE, 3.3, 'figure 9'),
  PublishedEffect('balanced to text', 'text only', WIN_RATE, 3.3, 'figure 9'),
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
