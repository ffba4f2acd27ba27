"""Which rows of a source each stage drew: the only ones that a run has seen.

A source's draws in a stage are numbers cursor..cursor + rows of an endless
list of epochs, each epoch a permutation of the source's rows, so neither the
stage's row schedule nor anything that was kept while training is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.order.permutation import permute, round_keys

_CHUNK = 2**20  # draws permuted at a time


@dataclasses.dataclass(frozen=True)
class StageDraws:
  """What one stage of a run drew.

  Attributes:
    name: the stage's folder: its readable name and the beginning of its hash.
    lineage: the folders of the stages that led to its model, itself included.
    draws: of each source, (cursor at the stage's beginning, rows drawn).
    seed: the run's seed.
    finished: whether it was trained, or is planned.
  """

  name: str
  lineage: tuple[str, ...]
  draws: Mapping[str, tuple[int, int]]
  seed: int
  finished: bool = False


def columns(stages: Sequence[StageDraws]) -> list[tuple[str, tuple[str, ...]]]:
  """The row sets that are told apart: (stage, the stages whose rows count).

  First each stage by itself, then each with all that led to it. A window of
  text that lies over two rows was consumed by a model of whose stages one drew
  the first row and another the second, though by neither stage alone.
  """
  return [(stage.name, (stage.name,)) for stage in stages] + [(stage.name, stage.lineage) for stage in stages]


def consumed_rows(source: PreparedSource, stages: Sequence[StageDraws]) -> np.ndarray:
  """uint8 [rows of the source, ceil(columns / 8)]: bit c of a row says whether it is in `columns(stages)[c]`."""
  rows_columns = columns(stages)
  bits = np.zeros((len(source), -(-len(rows_columns) // 8)), np.uint8)
  for stage in stages:
    if source.name not in stage.draws:
      continue
    mark = np.packbits([stage.name in counted for _, counted in rows_columns], bitorder='little')
    for rows in _drawn(source, *stage.draws[source.name], stage.seed):
      bits[rows] |= mark  # a chunk is of one epoch, so it names no row twice
  return bits


def _drawn(source: PreparedSource, cursor: int, count: int, seed: int) -> Iterator[np.ndarray | slice]:
  """Yields the rows of draws [cursor, cursor + count), in parts of one epoch each; whole epochs once."""
  size, end = len(source), cursor + count
  if -(-cursor // size) < end // size:  # an epoch is read whole: every row is drawn
    yield slice(None)
    return
  while cursor < end:
    epoch, first = divmod(cursor, size)
    part = min(_CHUNK, size - first, end - cursor)
    yield permute(np.arange(first, first + part), size, round_keys(seed, source.name, epoch))
    cursor += part
