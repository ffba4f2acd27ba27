"""One measured figure beside what it should be."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of a benchmark.

  Attributes:
    name: what was measured.
    value, unit: the figure.
    goal: what it should reach; None where it is for information.
    more_is_better: else it should stay below the goal.
  """

  name: str
  value: float
  unit: str
  goal: float | None = None
  more_is_better: bool = True

  @property
  def reached(self) -> bool | None:
    if self.goal is None:
      return None
    return self.value >= self.goal if self.more_is_better else self.value <= self.goal

  def __str__(self) -> str:
    if self.goal is None:
      return f'{self.name}: {self.value:,.3g} {self.unit}'
    bound = 'at least' if self.more_is_better else 'at most'
    return f'{self.name}: {self.value:,.3g} {self.unit} (goal: {bound} {self.goal:,.3g}{"" if self.reached else ", NOT reached"})'
