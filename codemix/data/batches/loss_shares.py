"""Rows of each source at which shares of loss tokens are met, where rows hold different numbers of them.

Without prompts every row has as many loss tokens as any other, and `data.order.row_schedule.apportion` is all that is needed.
With prompts a row counts by what is in it: the rows of a stage are handed out one by one along a common total T, the j-th row
of a source at the T at which its share of T is the loss tokens of its first j - 1 rows and half of those of its j-th
(Webster's method of apportionment, for rows of unequal size). So when R rows are out, the loss tokens of every source are within
half a row of its share of one T.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

from codemix.data.batches.source import DRAWS_TOGETHER, Cursor, Source
from codemix.errors import UserError


def rows_by_loss_tokens(
  sources: Mapping[str, Source], shares: Mapping[str, Fraction], cursors: Mapping[str, Cursor], rows: int, seed: int
) -> list[int]:
  """Rows of each source of `shares`, in its order; they sum to `rows`.

  It is arithmetic on the rows that the stage will draw, and a function of its arguments alone. On several hosts one
  computes it: it may read whole stores.

  Args:
    shares: of the stage's loss tokens, exact; they are above 0 and sum to one.
    cursors: how far each source was read before the stage; absent means not at all.
    seed: the run's, which keys the permutation of each epoch.

  Raises UserError: the rows of a source have no loss tokens.
  """
  for name in shares:
    if not any(loss.any() for loss in sources[name].loss_of_draws(0, sources[name].epoch_rows or 1, seed)):
      raise UserError(f"the rows of '{name}' have no token that counts in the loss, so it cannot have a share of them. Change Corpus.layout, or bind Stage.shares = 'tokens'.")
  # One scale makes every T a whole number.
  scale = math.lcm(*(share.numerator for share in shares.values()))
  due = (
    _due(sources[name], number, int(scale / share), cursors.get(name, Cursor()).cursor, seed)
    for number, (name, share) in enumerate(shares.items())
  )
  drawn = collections.Counter(number for _, number in itertools.islice(heapq.merge(*due), rows))
  return [drawn[number] for number in range(len(shares))]


def _due(source: Source, number: int, scale: int, cursor: int, seed: int) -> Iterator[tuple[int, int]]:
  """Yields (twice the T, times a scale, at which it is due, number) of each row of a source, without end."""
  before = 0
  for start in itertools.count(cursor, DRAWS_TOGETHER):
    for losses in source.loss_of_draws(start, start + DRAWS_TOGETHER, seed):
      for loss in losses.tolist():
        yield (2 * before + loss) * scale, number
        before += loss
