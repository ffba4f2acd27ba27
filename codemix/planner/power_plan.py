"""What `codemix plan --power` reports: what each comparison of a study can show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from codemix.inference.components import Components
from codemix.inference.resolution import Resolution
from codemix.planner.power_settings import Power
from codemix.planner.published_effects import PublishedEffect


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Arms that are compared with one baseline in the same way, on one task.

  Attributes:
    arms: names of the arms that have as many seeds in common with the baseline.
    claim: the name of the claim that compares them; '' for a comparison of the report's tables.
  """

  arms: tuple[str, ...]
  baseline: str
  resolution: Resolution
  claim: str = ''


@dataclasses.dataclass(frozen=True)
class PowerPlan:
  """A study's comparisons, and what they cost.

  Attributes:
    comparisons: task by task, then those of the claims.
    hours_of_a_seed: chip-hours of every arm with one seed, stages that arms share counted once; None without a chip.
    corrected_for: comparisons of each table of changes, by its name (`KnownNoise.tables`). Claims are corrected for their own number.
    price: of a chip-hour; None if it is not given.
    seeds: of the baseline's arm.
    scores: components of each benchmark, in points.
    published: what such a study can show of the effects that the paper reports; empty if its model is of another size than theirs.
    as_if: benchmarks that the study does not evaluate, and that are planned as if it did.
    left_out: why noise that is known is not planned, by what it is of.
    claims_left_out: why a claim is not planned, by its name.
    other_tokens: arms that end after other numbers of tokens than what they are compared with, so that the report does not test them.
  """

  study: str
  settings: Power
  comparisons: Sequence[Comparison]
  hours_of_a_seed: float | None
  corrected_for: Mapping[str, int]
  price: float | None
  seeds: int
  scores: Mapping[str, Components]
  published: Sequence[tuple[PublishedEffect, Resolution | None]]
  as_if: Sequence[str]
  left_out: Mapping[str, str]
  claims_left_out: Mapping[str, str]
  other_tokens: Sequence[str]

  def hours(self, seeds: int | None) -> float | None:
    """Chip-hours of the whole study with so many seeds an arm; None if either is unknown."""
    return None if seeds is None or self.hours_of_a_seed is None else seeds * self.hours_of_a_seed
