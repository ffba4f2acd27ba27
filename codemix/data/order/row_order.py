"""The order of a stage's rows: at each row the source whose next row falls due first, among those allowed.

Rows of a stage are laid out one at a time, about a million a second. The order of
a long stage is therefore written to a file when it is first needed, and read from then on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import heapq
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codemix.data.order.targets import Segment, Targets, constant, whole_counts
from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import write_bytes

RULE = 1  # raise it when `lay_out` returns another order: kept files are named by it
KEPT_ROWS = 2**18  # shorter orders are laid out in a fraction of a second and have no file
_DTYPE, _SHA256_BYTES = np.dtype('<u2'), 32


@functools.lru_cache(maxsize=2)  # a stage is planned, then trained
def row_order(segments: tuple[Segment, ...], folder: Path | None = None) -> np.ndarray:
  """uint16 [rows]: the source index of each row of a stage.

  Args:
    segments: how the sources' shares go along the stage.
    folder: where orders of long stages are kept; None keeps none. A file that is damaged is written
      again, and none is written where the folder is read-only.
  """
  counts = whole_counts(segments)
  repeats = (counts and math.gcd(*counts)) or 1
  if repeats > 1:
    # At each multiple of the period every source is exactly on its share, so the order of one period repeats.
    segments = constant([count // repeats for count in counts])
  return np.tile(_kept(segments, folder), repeats)


def lay_out(segments: tuple[Segment, ...]) -> Iterator[int]:
  """Yields the source of each row: earliest due first, ties to the source named first."""
  targets = Targets(segments)
  windows = [targets.windows(source) for source in range(len(segments[0].begin))]
  waiting = list(filter(None, (next(of_source, None) for of_source in windows)))  # the next row of each source
  heapq.heapify(waiting)
  ready: list[tuple[int, int]] = []  # (due, source) of the rows that are allowed
  for row in range(1, targets.rows + 1):
    while waiting and waiting[0][0] <= row:
      _, due, source = waiting[0]
      heapq.heappush(ready, (due, source))
      if following := next(windows[source], None):
        heapq.heapreplace(waiting, following)
      else:
        heapq.heappop(waiting)
    yield heapq.heappop(ready)[1]


def _kept(segments: tuple[Segment, ...], folder: Path | None) -> np.ndarray:
  """The order from its file (sha256, then the order), which is written where it is missing or damaged."""
  rows = sum(segment.rows for segment in segments)
  path = folder / f'{_name(segments)}.order' if folder and rows >= KEPT_ROWS else None
  if path:
    with contextlib.suppress(OSError):
      data = path.read_bytes()
      if hashlib.sha256(data[_SHA256_BYTES:]).digest() == data[:_SHA256_BYTES]:
        return np.frombuffer(data, _DTYPE, offset=_SHA256_BYTES)
  order = np.fromiter(lay_out(segments), _DTYPE, rows)
  if path:
    with contextlib.suppress(UserError, OSError):
      write_bytes(path, hashlib.sha256(order).digest() + order.tobytes())
  return order


def _name(segments: tuple[Segment, ...]) -> str:
  described = [[s.rows, [str(share) for share in (*s.begin, *s.end)]] for s in segments]
  return digest({'rule': RULE, 'segments': described})[:32]
