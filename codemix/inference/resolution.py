"""What a study can resolve, in plain words: the power of a comparison as a verdict."""

from __future__ import annotations

import dataclasses

from codemix.inference.components import Components
from codemix.inference.power import (
  MOST_SEEDS,
  POWER,
  Design,
  least_effect,
  least_effect_of_items,
  power,
  seeds_needed,
)


@dataclasses.dataclass(frozen=True)
class Resolution:
  """What a planned comparison on one task can show.

  Attributes:
    task: its name.
    design: seeds, level, and the question.
    effect: the difference that is wanted, in `unit`; of a question of equality, the margin.
    power: of finding it, 0 to 1; of an equality, if the arms do not differ.
    least_effect: that is found with the wanted power; infinite with one seed an arm.
    least_of_items: what the items alone leave, with any number of seeds; 0 for a claim about these items.
    seeds_needed: in each arm for the wanted effect; None if no number suffices.
    unit: of the figures, in the plural.
  """

  task: str
  design: Design
  effect: float
  power: float
  least_effect: float
  least_of_items: float
  seeds_needed: int | None
  wanted: float
  unit: str

  @property
  def is_resolved(self) -> bool:
    return self.power >= self.wanted

  @property
  def is_hidden_by_items(self) -> bool:
    """Whether no number of seeds suffices because the choice of items leaves more noise than the effect."""
    return self.seeds_needed is None and self.effect <= self.least_of_items

  def __str__(self) -> str:
    size, is_equality = amount(self.effect, self.unit), self.design.question == 'equal'
    do, what = ('show', f'equality within {size} on {self.task}') if is_equality else ('resolve', f'{size} on {self.task}')
    if self.is_resolved:
      return f'this study can {do} {what}: {self._seeds()}, power {100 * self.power:.0f}%{" if the arms do not differ" if is_equality else ""}'
    if self.is_hidden_by_items:
      least, effects = amount(self.least_of_items, self.unit), 'margins' if is_equality else 'effects'
      return f'no number of seeds {do}s {what}: the choice of its items alone hides {effects} below {least}; take more items, or limit the claim to these items'
    if self.seeds_needed is None:
      return f'this study cannot {do} {what}: more than {MOST_SEEDS:,} seeds an arm are needed; plan for a larger {"margin" if is_equality else "effect"}'
    return f'this study cannot {do} {what}: {self.seeds_needed:,} seeds an arm are needed, it has {self._seeds(short=True)}'

  def _seeds(self, short: bool = False) -> str:
    own, base = self.design.own, self.design.base
    counts = f'{own:,}' if own == base else f'{own:,} and {base:,}'
    return counts if short else f'{counts} seed{"" if own == base == 1 else "s"} an arm'


def resolution(task: str, effect: float, components: Components, design: Design, wanted: float = POWER, unit: str = 'points') -> Resolution:
  """What a comparison can show.

  Args:
    effect: the wanted difference, or the margin of a question of equality, in the components' units.
    wanted: power, from 0.5 to below 1.
    unit: name of the components' units, in the plural.

  Raises UserError if the effect or the wanted power is out of range.
  """
  return Resolution(
    task=task,
    design=design,
    effect=effect,
    power=power(effect, components, design),
    least_effect=least_effect(components, design, wanted),
    least_of_items=least_effect_of_items(components, design, wanted),
    seeds_needed=seeds_needed(effect, components, design, wanted),
    wanted=wanted,
    unit=unit,
  )


def amount(value: float, unit: str = 'points') -> str:
  """'1 point', '0.5 points', '2.8 points'."""
  return f'{value:.2g} {unit.removesuffix("s") if value == 1 else unit}'
