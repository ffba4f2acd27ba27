"""A comparison in plain words: different, equivalent, or not resolved, with every seed shown."""

from __future__ import annotations

import enum

from codemix.inference.difference import LEVEL, Difference
from codemix.inference.equivalence import equivalence


class Verdict(enum.Enum):
  """What a comparison shows. A difference may be shown and be below the margin too: then it is SMALL."""

  DIFFERENT = 'the arms differ'
  SMALL = 'the arms differ, by less than the margin'
  EQUIVALENT = 'no difference as large as the margin'
  UNRESOLVED = 'not resolved: neither a difference nor its absence is shown'
  ONE_SEED = 'no verdict: an arm has one run, so nothing is known of the noise of seeds'


def verdict(difference: Difference, margin: float | None = None, p: float | None = None, level: float = LEVEL) -> Verdict:
  """What the comparison shows at this level.

  Args:
    margin: the largest difference that does not matter, in units of the score; None asks for differences alone.
    p: of the difference after a correction for the number of comparisons (`multiplicity.corrected`); None for its own.

  Raises UserError if the margin is not above 0.
  """
  if not difference.has_seeds:
    return Verdict.ONE_SEED
  differs = (difference.p if p is None else p) <= 1 - level
  is_small = margin is not None and equivalence(difference, margin, level).holds
  if differs:
    return Verdict.SMALL if is_small else Verdict.DIFFERENT
  return Verdict.EQUIVALENT if is_small else Verdict.UNRESOLVED


def describe(difference: Difference, unit: str = 'points', margin: float | None = None, level: float = LEVEL) -> list[str]:
  """Lines for a person: the difference with its interval, what the interval holds, the verdict, and the figure of every run.

  Args:
    unit: of the scores, in the plural.
    margin: as for `verdict`.
  """
  low, high = difference.interval(level)
  ends = '' if difference.noise == 'none' else f', {100 * level:g}% interval {low:+.3g} to {high:+.3g} ({difference.noise}{_pairing(difference)})'
  found = verdict(difference, margin, level=level)
  within = f' (margin {margin:g} {unit})' if margin is not None else ''
  return [
    f'{difference.own} - {difference.base}: {difference.value:+.3g} {unit}{ends}: {found.value}{within}',
    f'  {difference.own}: {_runs(difference.own_figures, difference.own_seeds)}',
    f'  {difference.base}: {_runs(difference.base_figures, difference.base_seeds)}',
    *(f'  {note}' for note in difference.notes),
  ]


def _pairing(difference: Difference) -> str:
  if not difference.correlation:
    return ''
  found = difference.correlation
  if difference.paired:
    return f', paired by seed, correlation {found.value:+.2f}, {found.low:+.2f} to {found.high:+.2f}'
  return f', not paired: {found.pairs} shared seeds say too little of their correlation'


def _runs(figures: tuple[float, ...], seeds: tuple | None) -> str:
  names = [f'seed {seed}' for seed in seeds] if seeds else [f'run {number}' for number, _ in enumerate(figures, 1)]
  return ', '.join(f'{name} {figure:.4g}' for name, figure in zip(names, figures, strict=True))
