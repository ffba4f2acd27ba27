"""A claim: what a study is expected to show, written before it is run."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar, Literal

from codemix.checked import From, Name, checked
from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
@checked
class Claim:
  """How the figures of two arms are expected to compare, on one metric.

  With d the difference arm - against of the true mean figures, and m the margin, the claim is

    'higher': d > m        'lower': d < -m        'equal': -m < d < m

  The study's report says whether the runs support it, refute it, or leave it unresolved. With one seed in either arm a claim is
  always unresolved. `codemix.inference.expectation` has the tests, docs/claims.md the rules.

  Attributes:
    arm: a recipe of the study, which stands for its arm (all recipes that differ from it in their seed alone), or the arm's name.
    metric: a source that scores every stage (`Study.validation`), in bits per byte; a benchmark or group of `Study.evaluate`, in
      points (hundredths of the score; of a group, of the mean over its benchmarks); or 'BENCHMARK/gold_bits_per_byte', of its right
      answers. The prefixes 'held_out/' and 'tasks/' tell a source from a benchmark of the same name.
    expected: of the metric's number: 'lower' means fewer bits per byte.
    against: the recipe or arm that it is compared with; None for the arm's baseline.
    margin: in the metric's unit, at least 0; above 0 for 'equal'.
    stage: the stage after which they are compared: its name in both arms, or its place from 1; None for the last of each.
    sentence: the claim in words, for the report.

  Raises:
    UserError: a value of another kind, a negative margin, or 'equal' without a margin.
  """

  stable_name: ClassVar[str] = 'claim'
  version: ClassVar[int] = 1

  arm: Name
  metric: Name
  expected: Literal['higher', 'lower', 'equal']
  against: Name | None = None
  margin: Annotated[float, From(0)] = 0.0
  stage: Annotated[int, From(1)] | Name | None = None
  sentence: str = ''

  def __post_init__(self):
    if self.expected == 'equal' and not self.margin:
      raise UserError(
        f"Claim.margin is 0 in the claim that '{self.arm}' is equal on '{self.metric}', which no run can show: "
        'give the largest difference that does not matter, such as 0.5 points or 0.01 bits per byte.'
      )
