"""The claims of a study as a table of the report."""

from __future__ import annotations

from collections.abc import Sequence

from codemix import formatting
from codemix.inference.resolution import amount
from codemix.report.claims import BEFORE, EXPLORATORY, WITHDRAWN, Judged
from codemix.report.table import Cell, Line, Table

_HEADER = ('Claim', 'Verdict', 'Compared', 'Expected', 'Registered', 'Found', 'Seeds')
_REGISTERED = {BEFORE: 'before the run', EXPLORATORY: 'afterwards: exploratory', WITHDRAWN: 'withdrawn'}


def claim_table(claims: Sequence[Judged]) -> Table:
  """A line for each claim: what was expected, what was found, and the verdict."""
  caption = (
    'What was expected, and what was found: the difference of the mean over seeds, with its interval over items and seeds. Supported: the data speak against the claim being '
    'false; refuted: against its being true; unresolved: neither, which is never evidence for “equal”. With one seed in an arm a claim is unresolved.'
  )
  for status, what in ((BEFORE, 'registered before the run'), (EXPLORATORY, 'exploratory')):
    count = max((claim.corrected_for for claim in claims if (claim.status == EXPLORATORY) == (status == EXPLORATORY)), default=0)
    if count > 1:
      caption += f' Verdicts on the {count} claims {what} hold together at 95% (Holm); each interval is of one alone.'
  return Table(caption, [*map(Cell, _HEADER)], [_line(claim) for claim in claims], texts=5)


def expected_in_words(claim: Judged) -> str:
  """'lower by more than 0.01 bits per byte', 'equal within 0.5 points'."""
  expected, margin = claim.said['expected'], claim.said['margin']
  if not margin:
    return expected
  return f'{expected} {"within" if expected == "equal" else "by more than"} {amount(margin, claim.unit)}'


def found_in_words(claim: Judged) -> str:
  """'+1.23 points'."""
  return f'{signed(claim.difference.value, claim.unit)} {claim.unit}' if claim.difference else formatting.UNKNOWN


def signed(value: float, unit: str) -> str:
  """'+1.23' points, '−0.0123' bits per byte; what rounds to zero has no sign."""
  text = f'{abs(value):.{2 if unit == "points" else 4}f}'
  return text if not float(text) else f'{"+" if value > 0 else formatting.MINUS}{text}'


def _line(claim: Judged) -> Line:
  said = claim.said
  stages = {claim.registered.claim[side]['stage'] for side in ('own', 'base')}
  after = said['stage'] if isinstance(said['stage'], str) else f'stage {" and ".join(map(str, sorted(stages)))}'
  when = [claim.registered.registered[:10], *(claim.notes if claim.status != BEFORE else [])]
  return Line([
    Cell(said['sentence'] or claim.name, [claim.name] if said['sentence'] else []),
    Cell(claim.verdict, claim.notes if claim.status == BEFORE else []),
    Cell(f'{claim.arm} against {claim.against}', [f'{said["metric"]}, after {after}']),
    Cell(expected_in_words(claim)),
    Cell(_REGISTERED[claim.status], when),
    _found(claim),
    Cell(_seeds(claim)),
  ])  # fmt: skip


def _found(claim: Judged) -> Cell:
  if not claim.difference:
    return Cell(formatting.UNKNOWN)
  tested, notes = claim.tested, []
  if formatting.known(tested.low):
    notes.append(f'{100 * tested.level:.0f}%: {signed(tested.low, claim.unit)} … {signed(tested.high, claim.unit)}')
  if formatting.known(claim.p):
    notes.append(f'p {claim.p:.2g}' if claim.p >= 0.001 else 'p < 0.001')
  return Cell(found_in_words(claim), notes)


def _seeds(claim: Judged) -> str:
  """'3', or '3 and 2' if the arms differ."""
  if not claim.difference:
    return formatting.UNKNOWN
  own, base = len(claim.difference.own_figures), len(claim.difference.base_figures)
  return str(own) if own == base else f'{own} and {base}'
