"""The lines of the report's tables of changes, before anything is trained: each arm after each stage that is compared.

The report decides the same from what was trained (`codemix.report.comparison`, `codemix.report.arms`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

from codemix.planner.stages import PlannedStage, planned_stages
from codemix.studies.arms import Arm
from codemix.studies.baselines import baseline_arm_of
from codemix.studies.counterpart import baseline_arm, counterpart
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study


@dataclasses.dataclass(frozen=True)
class Line:
  """An arm after a stage, beside its baseline.

  Attributes:
    arm: its name.
    own, base: seeds of both.
    same_tokens: whether both have read as many. If not, the difference includes that of the budgets, and is not tested.
  """

  arm: str
  own: int
  base: int
  same_tokens: bool

  @property
  def is_tested(self) -> bool:
    """Whether there is a p-value, which also needs the noise of seeds on both sides."""
    return self.same_tokens and min(self.own, self.base) > 1


def lines_tested(lines: Sequence[Line]) -> int:
  """The number of lines with a p-value; if no line has two seeds on both sides, of all of equal tokens, as if they had."""
  return sum(line.is_tested for line in lines) or sum(line.same_tokens for line in lines)


def compared_lines(study: Study) -> Iterator[Line]:
  """The lines of arms of all models. Where both sides are the same models, which is so before arms part, nothing is compared.

  Raises UserError as `planned_stages`.
  """
  stages = {(recipe, stage.position): stage for stage in planned_stages(study) for recipe in stage.recipes}
  for arm, base in _pairs(study):
    own_ends, base_ends = (_ends(study, stages, of.recipes[0]) for of in (arm, base))
    for index in range(len(own_ends)):
      found = counterpart(own_ends, index, base_ends)
      if found is None:
        continue
      position, same_tokens = found
      own, theirs = (
        {study.recipes[recipe].seed: stages[recipe, place + 1] for recipe in of.recipes} for of, place in ((arm, index), (base, position))
      )
      if any(theirs.get(seed) is not stage for seed, stage in own.items()):
        yield Line(arm.name, len(own), len(theirs), same_tokens)


def _pairs(study: Study) -> Iterator[tuple[Arm, Arm]]:
  """Each arm with that which it is compared with."""
  arms = planned_arms(study)
  identity = lambda arm: study.recipes[arm.recipes[0]].model.identity()
  for arm in arms:
    if study.recipes[arm.recipes[0]].baseline:
      base = baseline_arm_of(study, arms, arm)
    else:
      of_model = [each for each in arms if identity(each) == identity(arm)]
      base = baseline_arm(of_model, study.baseline, functools.partial(_mixtures, study))
    if base and base != arm:
      yield arm, base


def _mixtures(study: Study, recipe: str) -> list[dict[str, float]]:
  """The shares of each stage's sources. Shares by documents stay such, since the tokens of a document are not known yet."""
  found = []
  for stage in study.recipes[recipe].stages:
    mixtures = stage.mixtures()
    shares = mixtures.resolve(dict.fromkeys(mixtures.drawn(), 1)).mean(stage.tokens).shares()
    found.append({source: round(float(share), 6) for source, share in shares.items() if share})
  return found


def _ends(study: Study, stages: dict[tuple[str, int], PlannedStage], recipe: str) -> list[int]:
  """The tokens after which each stage ends."""
  return list(itertools.accumulate(stages[recipe, place].tokens for place in range(1, len(study.recipes[recipe].stages) + 1)))
