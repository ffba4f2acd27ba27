"""What the arms of a study were trained on, stage by stage: the share of code and its kinds, the tokens, whether the rate only falls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from codemix.report.content import Content
from codemix.report.results import StageResults
from codemix.report.table import once
from codemix.studies.arms import Arm

_DIGITS = 6  # of a share; rows are whole, so shares of one mixture differ a little


@dataclasses.dataclass(frozen=True)
class TrainedOn:
  """A stage, as far as it tells one arm of the paper from another.

  Attributes:
    code: the share of code.
    kinds: what the code consists of: the parts of the group 'code' with their shares of it; {} if the mixture has no such group.
    tokens: of the stage.
    cools: whether the rate falls along a straight line from where the stage before left it, as in a cooldown.
  """

  code: float
  kinds: Mapping[str, float]
  tokens: float
  cools: bool


@once
def trained_on(content: Content, arm: Arm) -> list[TrainedOn]:
  """Of each stage of an arm, up to the first of which it is not known: not planned yet, a mixture that changes, sources without a declared kind.

  Empty if the arm begins with another model (`Recipe.start`).
  """
  found: list[TrainedOn] = []
  if content.study.recipes[arm.recipes[0]].start:
    return found
  for row in content.rows_of(arm):
    code = code_share(row.stage, content.study.kinds)
    if code is None or _changes(row.stage):
      break
    found.append(TrainedOn(code, _kinds(row.stage), row.tokens, bool(found) and _cools(row.stage)))
  return found


def code_share(stage: StageResults, kinds: Mapping[str, str]) -> float | None:
  """The share of code of a stage; None if it is not planned yet, or the kind of a source is not declared.

  A group of the mixture that is called 'code' or 'text' is that, whatever stands in for its sources.

  Args:
    kinds: declared kinds by source.
  """
  tree = _mixture(stage) or _flat(stage)
  share = _code(tree, kinds) if tree else None
  return None if share is None else round(float(share), _DIGITS)


@dataclasses.dataclass(frozen=True)
class _Part:
  """A node of a mixture that is drawn from; its weight is its share of the node above."""

  name: str
  weight: Fraction
  parts: tuple[_Part, ...]


def _mixture(stage: StageResults) -> _Part | None:
  """The tree in the plan; None before the stage is planned, or if an earlier codemix planned it."""
  try:
    return _part(stage.plan['mixture']) if stage.plan else None
  except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
    return None


def _flat(stage: StageResults) -> _Part | None:
  """The sources alone, as earlier versions of codemix planned a stage; None before it is planned."""
  parts = tuple(_Part(source, Fraction(use['share']), ()) for source, use in stage.uses.items() if use.get('share'))
  return _Part('', Fraction(1), parts) if parts else None


def _part(node: Mapping[str, Any]) -> _Part:
  parts = tuple(_part(part) for part in node.get('parts', ()))
  return _Part(node['name'], Fraction(node['weight']), tuple(part for part in parts if part.weight))


def _code(part: _Part, kinds: Mapping[str, str]) -> Fraction | None:
  if not part.parts and part.name in kinds:
    return Fraction(kinds[part.name] == 'code')
  if part.name in ('text', 'code'):
    return Fraction(part.name == 'code')
  shares = [_code(below, kinds) for below in part.parts]
  if not shares or None in shares:
    return None
  return sum((below.weight * share for below, share in zip(part.parts, shares, strict=True)), Fraction(0))


def _kinds(stage: StageResults) -> dict[str, float]:
  tree = _mixture(stage)
  group = next((part for part in tree.parts if part.name == 'code'), None) if tree else None
  return {part.name: round(float(part.weight), _DIGITS) for part in group.parts} if group else {}


def _changes(stage: StageResults) -> bool:
  """Whether the shares change along the stage, by its identity (`stage_identity.describe_rows`)."""
  rows = stage.identity.get('rows')
  if not isinstance(rows, list) or all(isinstance(entry, list) and entry and isinstance(entry[0], str) for entry in rows):
    return False
  return len(rows) > 1 or any(begin != end for _, shares in rows for _, begin, end in shares)


def _cools(stage: StageResults) -> bool:
  """Whether the rate falls in a straight line throughout, by its identity (`Curve.describe`)."""
  pieces = stage.identity.get('rates')
  if not isinstance(pieces, list) or not pieces:
    return False
  return all(isinstance(piece, list) and len(piece) > 3 and piece[0] in ('line', 'to') and _falls(piece[1], piece[2]) for piece in pieces)


def _falls(first: object, last: object) -> bool:
  """Whether a piece goes down; a rate that is not a number is the one that the stage before ended with."""
  numbers = isinstance(first, (int, float)) and isinstance(last, (int, float))
  return first > last if numbers else not isinstance(first, (int, float))
