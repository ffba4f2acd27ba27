"""What a benchmark takes and yields: sizes, and figures beside their goals."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from codemix.errors import UserError


class Sizes:
  """Base of each benchmark's `Size`, a dataclass of numbers of at least 1.

  Raises UserError: a number is below that.

  Attributes:
    may_be_zero: the fields in which 0 has a meaning.
  """

  may_be_zero: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self) -> None:
    for name, number in dataclasses.asdict(self).items():
      least = 0 if name in self.may_be_zero else 1
      if number < least:
        raise UserError(f'--size={name}={number}: write {least} or more.')


@dataclasses.dataclass(frozen=True)
class Figure:
  """A measured figure.

  Attributes:
    name: what was measured.
    value, unit: the figure.
    goal: what it should reach; None: no goal.
    more_is_better: whether the goal is a lower bound; else it is an upper bound.
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
    text = f'{self.name}: {self.value:,.3g} {self.unit}'
    if self.goal is None:
      return text
    bound = 'at least' if self.more_is_better else 'at most'
    return f'{text} (goal: {bound} {self.goal:,.3g}{"" if self.reached else ", NOT reached"})'
