"""The effects that the paper reports from single runs, and whether seed noise would let a study see them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components
from codemix.inference.power import Design
from codemix.inference.resolution import Resolution, resolution


@dataclasses.dataclass(frozen=True)
class PublishedEffect:
  """A difference of two models of the paper (arXiv:2408.10914).

  Attributes:
    arm, baseline: what is compared.
    group: of tasks, whose mean score it is (`GROUPS`).
    points: the difference.
    source: the table or figure of the two scores.
  """

  arm: str
  baseline: str
  group: str
  points: float
  source: str


PARAMETERS = 470e6  # of all these models, as the paper gives it
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
  PublishedEffect('25% code', '0% code', 'nl_reasoning', 1.74, 'figure 4'),
  PublishedEffect('100% code', '0% code', 'nl_reasoning', -9.19, 'figure 4'),
  PublishedEffect('25% code', '0% code', 'knowledge', -0.31, 'figure 4'),
  PublishedEffect('100% code', '25% code', 'code', 6.54, 'figure 4'),
  PublishedEffect('code+markup', 'code', 'nl_reasoning', 1.1, 'figure 5'),
  PublishedEffect('code+adjacent', 'code', 'nl_reasoning', 2.5, 'figure 5'),
  PublishedEffect('code+synthetic', 'code+markup', 'nl_reasoning', 3.7, 'figure 5'),
  PublishedEffect('code+synthetic', 'code+markup', 'code', 4.8, 'figure 5'),
  PublishedEffect('balanced+synthetic to text', 'balanced to text', 'nl_reasoning', 1.0, 'figure 5'),
  PublishedEffect('balanced+synthetic to text', 'balanced to text', 'code', 1.4, 'figure 5'),
  PublishedEffect('cooldown with code', 'no cooldown', 'nl_reasoning', 1.9, 'figure 6'),
  PublishedEffect('cooldown with code', 'no cooldown', 'code', 1.0, 'figure 6'),
  PublishedEffect('cooldown without code', 'no cooldown', 'nl_reasoning', -0.1, 'figure 6'),
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
