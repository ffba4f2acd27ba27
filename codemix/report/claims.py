"""The claims of a study, and what its runs say of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from codemix.inference.difference import Difference
from codemix.inference.expectation import Outcome, Tested, corrected, expectation
from codemix.report.arms import arms
from codemix.report.claim_difference import of_bits, of_scores
from codemix.report.comparison import Measure
from codemix.report.contrast import Contrast
from codemix.report.results import StudyResults
from codemix.report.suite import TASKS, Suite
from codemix.studies.claim_register import Registered, check_claims, history

NOT_MEASURED, WITHDRAWN = 'not measured yet', 'withdrawn'
BEFORE, EXPLORATORY = 'before the run', 'exploratory'
_POINTS = 'points'
_HELD_OUT = 'held_out/'


@dataclasses.dataclass(frozen=True)
class Judged:
  """A claim of a study with its verdict.

  Attributes:
    registered: the claim and its history.
    arm, against: names of the arms.
    difference: arm - against, in the claim's unit; None while an arm has no figure.
    tested: the tests of the claim; None likewise.
    p: of the verdict, after Holm's correction; NaN without one.
    corrected_for: claims of the family that were tested together.
    verdict: 'supported', 'refuted', 'unresolved', NOT_MEASURED or WITHDRAWN.
    status: BEFORE, EXPLORATORY or WITHDRAWN.
    notes: a sentence for each thing to mind.
  """

  registered: Registered
  arm: str
  against: str
  difference: Difference | None
  tested: Tested | None
  p: float
  corrected_for: int
  verdict: str
  status: str
  notes: Sequence[str]

  @property
  def name(self) -> str:
    return self.registered.name

  @property
  def said(self) -> Mapping:
    """The arguments of the claim."""
    return self.registered.claim['arguments']

  @property
  def unit(self) -> str:
    return self.registered.claim['unit']


def judge_claims(study: StudyResults, measures: Mapping[str, Measure], suite: Suite) -> list[Judged]:
  """Every claim that the study ever had, those in force first.

  Two families are corrected for their number: the claims that were registered before the stages that they compare began, with those
  that were withdrawn after that; and the exploratory ones, which take no power from the others.

  Raises UserError if the registrations were changed.

  Args:
    measures: bits per byte by validation source.
  """
  claims = history(check_claims(study.folder), study.name)
  names = {recipe: arm.name for arm in arms(study) for recipe in arm.recipes}
  found = [_compare(study, claim, names, measures, suite) for claim in claims]
  in_time = [number for number, claim in enumerate(claims) if claim.counts]
  late = [number for number, claim in enumerate(claims) if claim.withdrawn is None and claim.seen_before]
  judged: dict[int, Judged] = {}
  for family in (in_time, late):
    judged |= zip(family, _verdicts([found[number] for number in family]), strict=True)
  return [judged.get(number, each) for number, each in enumerate(found)]


def _compare(study: StudyResults, claim: Registered, names: Mapping[str, str], measures: Mapping[str, Measure], suite: Suite) -> Judged:
  """A claim with the difference of its arms, before a verdict."""
  said = claim.claim['arguments']
  shown = tuple(names.get(said[key], said[key]) for key in ('arm', 'against'))
  contrast = Contrast(claim.own, claim.base).of(lambda folder: folder in study.stages)
  difference = _difference(claim, contrast, shown, measures, suite)
  tested = expectation(difference, said['expected'], said['margin']) if difference else None
  status = WITHDRAWN if claim.withdrawn else EXPLORATORY if claim.seen_before else BEFORE
  return Judged(
    claim, *shown, difference, tested, math.nan, 0, WITHDRAWN if claim.withdrawn else NOT_MEASURED, status, list(_notes(claim, difference)),
  )  # fmt: skip


def _difference(claim: Registered, contrast: Contrast, names: tuple[str, str], measures: Mapping[str, Measure], suite: Suite) -> Difference | None:
  benchmarks = {f'{TASKS}{benchmark.name}': benchmark for benchmark in suite.benchmarks}
  parts = claim.claim['metric']
  if claim.claim['unit'] == _POINTS:
    if not all(part['evaluator'] in benchmarks for part in parts):
      return None
    return of_scores([(benchmarks[part['evaluator']].task, part['weight']) for part in parts], contrast, names)
  name = parts[0]['evaluator']
  measure = measures.get(name.removeprefix(_HELD_OUT)) if name.startswith(_HELD_OUT) else benchmarks[name].gold if name in benchmarks else None
  return of_bits(measure, contrast, names) if measure else None


def _notes(claim: Registered, difference: Difference | None) -> Iterator[str]:
  if claim.seen_before:
    yield f'{", ".join(sorted(claim.seen_before))} had begun when it was registered'
  if claim.withdrawn:
    late = bool(claim.folders & claim.begun_at_withdrawal)
    yield f'withdrawn on {claim.withdrawn[:10]}, {"after" if late else "before"} what it compares had begun'
  if claim.left_out:
    yield f'registered with seed {", ".join(claim.left_out)} too, which is not in the study any more'
  if difference:
    lacking = [(len(runs), len(figures)) for runs, figures in ((claim.own, difference.own_figures), (claim.base, difference.base_figures)) if len(figures) < len(runs)]
    if lacking:
      yield f'provisional: {" and ".join(f"{count} of {of} seeds" for of, count in lacking)} so far'
    yield from difference.notes


def _verdicts(family: Sequence[Judged]) -> list[Judged]:
  p_C = corrected([each.tested for each in family if each.tested])
  count = sum(not math.isnan(p) for p in p_C)
  remaining = iter(p_C)
  return [_verdict(each, next(remaining), count) if each.tested else each for each in family]


def _verdict(claim: Judged, p: float, count: int) -> Judged:
  outcome = claim.tested.outcome(p)
  notes = list(claim.notes)
  if not claim.difference.has_seeds:
    notes.insert(0, 'items only: with one seed in an arm nothing is known of the noise of seeds' if claim.difference.noise == 'items only' else 'one seed in an arm, and no items')
  elif math.isnan(p):
    notes.insert(0, 'the runs do not differ in anything, so there is no noise to test against')
  elif outcome is Outcome.UNRESOLVED and (alone := claim.tested.outcome(claim.tested.p)) is not Outcome.UNRESOLVED:
    notes.insert(0, f'{alone.value} alone, but not as one of {count} claims (Holm)')
  return dataclasses.replace(claim, p=p, corrected_for=count, verdict=outcome.value, notes=notes)
