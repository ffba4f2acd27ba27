"""What the report of a swarm says: its numbers, gathered once for every format."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from codemix import formatting
from codemix.report.swarm.columns import few
from codemix.report.swarm.designs import ALONE, Designs
from codemix.report.swarm.effects import Effect, group_effects, task_effects
from codemix.report.swarm.files import Swarm

Metric = Literal['bits_per_byte', 'score']
METRICS = {'bits_per_byte': ('bits per byte', True), 'score': ('score', False)}  # (in words, whether lower is better)


@dataclasses.dataclass(frozen=True)
class Content:
  """All that the report shows.

  Attributes:
    designs: the regressions.
    groups, tasks: the effects of code on them.
    figure: what the figures are, in words.
    left_out: a sentence for each thing that was left out.
    notes: a sentence for each thing to mind.
    command: that writes this report.
  """

  swarm: Swarm
  designs: Designs
  groups: Sequence[Effect]
  tasks: Sequence[Effect]
  figure: str
  lower_is_better: bool
  left_out: Sequence[str]
  notes: Sequence[str]
  command: str

  @property
  def title(self) -> str:
    return f'The share of code in {len(self.swarm.runs):,} mixtures'

  @property
  def lead(self) -> str:
    """The verdicts on the groups, in a sentence."""
    told = [
      f'{word} for {", ".join(names)}' if names else ''
      for verdict, word in (('falls', 'fall'), ('rises', 'rise'), ('not told apart', 'are not told apart from noise'))
      for names in [[effect.name for effect in self.groups if effect.verdict == verdict]]
    ]
    better = 'lower is better' if self.lower_is_better else 'higher is better'
    return f'As code rises, the figures ({self.figure}, {better}) {"; ".join(filter(None, told))}.'

  @property
  def facts(self) -> list[tuple[str, str]]:
    """(what, figure) for the line under the title."""
    code_N = self.swarm.code_N
    return [
      ('models, one for each mixture', formatting.integer(len(self.swarm.runs))),
      ('domains', str(len(self.swarm.domains))),
      ('of code', str(len(self.swarm.code))),
      ('share of code, median', formatting.percent(float(np.median(code_N)))),
      ('share of code, largest', formatting.percent(float(code_N.max()))),
      ('tasks', str(len(self.tasks))),
    ]


def gather(swarm: Swarm, metric: Metric, command: str) -> Content:
  """All that the report shows. Raises UserError as `effects.group_effects`."""
  designs = Designs(swarm)
  groups, groups_left_out = group_effects(swarm, designs)
  tasks, tasks_left_out = task_effects(swarm, designs)
  figure, lower_is_better = METRICS[metric]
  return Content(
    swarm=swarm,
    designs=designs,
    groups=groups,
    tasks=tasks,
    figure=figure,
    lower_is_better=lower_is_better,
    left_out=[
      *swarm.left_out,
      *(f'Of the tasks: {sentence}' for sentence in tasks_left_out),
      *(f'Of the groups: {sentence}' for sentence in groups_left_out),
      *_in_no_group(swarm),
    ],
    notes=[*swarm.notes, *designs.notes, *_notes(designs, groups, tasks)],
    command=command,
  )


def _in_no_group(swarm: Swarm) -> list[str]:
  gone = [task for task in swarm.tasks if not any(task in members for members in swarm.groups.values())]
  return [f'{len(gone):,} tasks are in no group: {few(gone)}.'] if gone else []


def _notes(designs: Designs, groups: Sequence[Effect], tasks: Sequence[Effect]) -> list[str]:
  notes = []
  for adjustment in designs.adjustments:
    if adjustment.name != ALONE and adjustment.name in designs.explained:
      notes.append(f'Departures of {adjustment.label} from their proportion explain {formatting.percent(designs.explained[adjustment.name])} of the variance of the share of code.')
  if designs.main.name == ALONE:
    notes.append('Nothing is adjusted for: if mixtures with more code also have more of some other domain, its effect is in these figures.')
  apart = [effect for effect in (*groups, *tasks) if not effect.permutations_agree]
  if apart:
    notes.append(f'The permutation test comes to another verdict for {few([effect.name for effect in apart], 10)}.')
  alone = [e.name for e in groups if ALONE in e.slopes and e.main != ALONE and e.verdict != 'not told apart' and (e.slopes[ALONE].value < 0) != (e.slope.value < 0)]
  if alone:
    notes.append(f'The simple regression has the other sign for {few(alone)}.')
  return notes
