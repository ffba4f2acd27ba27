"""What the claims of a study compare: two arms, a stage of each, and a metric, all of which must exist."""

from __future__ import annotations

import dataclasses

from codemix.errors import UserError
from codemix.studies.arms import Arm
from codemix.studies.baselines import baseline_of
from codemix.studies.claim import Claim
from codemix.studies.claim_metric import Metric, metric_of
from codemix.studies.named_arms import arm_named, stage_named
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study


@dataclasses.dataclass(frozen=True)
class Side:
  """An arm after one of its stages.

  Attributes:
    arm: of the study.
    stage: its index in the arm's recipes, from 0.
  """

  arm: Arm
  stage: int


@dataclasses.dataclass(frozen=True)
class Compared:
  """What a claim compares: own - base, on a metric."""

  own: Side
  base: Side
  metric: Metric


def compare(study: Study) -> dict[str, Compared]:
  """What each claim of the study compares, by the claim's name.

  Raises UserError, naming the claim, if an arm, a stage or a metric does not exist, an arm is compared with itself, or two claims
  say the same.
  """
  if not study.claims:
    return {}
  arms = planned_arms(study)
  found: dict[str, Compared] = {}
  seen: dict[tuple, str] = {}
  for name, claim in study.claims.items():
    try:
      found[name] = _compare(study, arms, claim)
    except UserError as error:
      raise UserError(f"the claim '{name}' of Study.claims: {error}") from None
    key = _says(found[name], claim)
    if key in seen:
      raise UserError(f"the claims '{seen[key]}' and '{name}' of Study.claims say the same: keep one of them.")
    seen[key] = name
  return found


def _compare(study: Study, arms: list[Arm], claim: Claim) -> Compared:
  own = arm_named(study, arms, claim.arm, 'Claim.arm')
  against = claim.against or baseline_of(study, own.recipes[0])
  base = arm_named(study, arms, against, 'Claim.against')
  if own == base:
    which = f"'{claim.against}'" if claim.against else f"the baseline '{against}'"
    raise UserError(f"it compares '{claim.arm}' with {which}, which is the same arm: name another in Claim.arm or Claim.against.")
  return Compared(_side(study, own, claim), _side(study, base, claim), metric_of(study, claim.metric))


def _side(study: Study, arm: Arm, claim: Claim) -> Side:
  hint = ' Stages that have other names in the two arms are given by their place, from 1.'
  return Side(arm, stage_named(study, arm, claim.stage, 'Claim.stage', hint))


def _says(compared: Compared, claim: Claim) -> tuple:
  """The same for two claims that hold or fail together: 'a lower than b' and 'b higher than a', whatever their sentences."""
  sides = [(side.arm.name, side.stage) for side in (compared.own, compared.base)]
  if claim.expected == 'equal':
    sides.sort()
  elif claim.expected == 'lower':
    sides.reverse()
  return claim.expected == 'equal', *sides, compared.metric.unit, tuple(sorted(compared.metric.weights.items())), claim.margin
