"""How to read the report of a swarm: what is estimated, and what its intervals hold."""

from __future__ import annotations

from codemix.inference.permutation import PERMUTATIONS
from codemix.report.swarm.content import Content
from codemix.report.swarm.designs import ALONE


def caveat(content: Content) -> tuple[str, str]:
  """(in a sentence, why) what the report cannot show."""
  return (
    'One model for each mixture, so one seed.',
    'The noise in an interval is all by which models of the same share of code differ: their seed, and what their other domains do beyond the adjustment. '
    'It is measured over the runs, so effects are told apart from it; how much of it is the seed is not known. The items of the tasks are the same for all models, and taken as fixed.',
  )


def terms(content: Content) -> list[tuple[str, str]]:
  """(term, what it means)."""
  adjusted = content.designs.main.name != ALONE
  found = [
    (
      'Change for 10 points more code',
      'Shares sum to 1, so code cannot rise alone. The change is that of the figure if the share of code rises by 10 points (from 5% to 15%, say) and all other domains shrink in '
      'proportion, from the mixture of all runs together (Cox’s direction). It is the slope of a line over the mixtures of this swarm, so it also holds as their best line if the shape is curved; see the shapes.',
    ),
    (
      'By itself',
      'The regression on the share of code alone. If mixtures with more code also have more of some other domain than its proportion, the effect of that domain is in it.',
    ),
  ]
  if adjusted:
    found.append((
      'Adjusted',
      f'The regression also holds how far {content.designs.main.label} are from their proportion. It decides the verdict. '
      'Finer adjustments beside it show what differences within the groups do. What the shares do not hold (data quality, order, repetition) is not adjusted for.',
    ))  # fmt: skip
  return [
    *found,
    ('Interval', '95%, by Student’s t with HC3 errors, which hold for unequal variances. It holds the seeds and what is left of the other domains, by the spread of the runs. It does not hold other items, sizes or amounts of training.'),
    (
      'p, Holm',
      'Of no effect, corrected for the number of rows of the table: the chance that any row is told apart although code does nothing is at most 5%. '
      '“Not told apart” is not “no effect”: the interval says how large an effect may be.',
    ),
    (
      'p, permutations',
      f'A check that needs no distribution: what the other regressors leave of the figures is permuted over the runs {PERMUTATIONS:,} times (Freedman and Lane), and the largest '
      't of all rows corrects for their number (Westfall and Young). Both tests have to come to the same verdict, or the row says so.',
    ),
  ]  # fmt: skip
