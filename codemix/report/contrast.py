"""What is compared in a table of changes or by a claim: the runs of one arm with those of another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

Seed = int | str | None  # None: the study was made before seeds were kept; registered claims have them as text


@dataclasses.dataclass(frozen=True)
class Contrast:
  """Stages that are compared with stages of the baseline, or of what a claim compares with.

  Attributes:
    own: the stage's folder in each run of an arm, by seed. A line of a single run has one.
    base: that of each run of the other arm; {} if nothing is compared.
    same_tokens: whether the stages end after as many tokens. If not, the difference includes that of the budgets, and is never
      called an effect.
  """

  own: Mapping[Seed, str]
  base: Mapping[Seed, str]
  same_tokens: bool = True

  def of(self, is_known: Callable[[str], bool]) -> Contrast:
    """The part whose folders are known, the seeds that both arms have first."""
    own, base = ({seed: folder for seed, folder in of.items() if is_known(folder)} for of in (self.own, self.base))
    common = [seed for seed in own if seed in base]
    return Contrast(*({seed: of[seed] for seed in [*common, *(s for s in of if s not in common)]} for of in (own, base)), self.same_tokens)

  @property
  def is_crossed(self) -> bool:
    """Whether both arms have several runs, so that the noise of seeds is known on both sides."""
    return len(self.own) > 1 and len(self.base) > 1

  @property
  def shares_seeds(self) -> bool:
    """Whether both arms have the same seeds; they are then in one order in what `of` returns."""
    return self.own.keys() == self.base.keys()

  @property
  def pairs(self) -> list[tuple[str, str]]:
    """(own, base) of each seed that both have; equal pairs once, since stages may be shared."""
    return list(dict.fromkeys((folder, self.base[seed]) for seed, folder in self.own.items() if seed in self.base))
