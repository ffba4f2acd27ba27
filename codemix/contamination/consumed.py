"""The rows of a source that each stage drew.

A stage draws numbers cursor..cursor + rows of an endless list of epochs, each a
permutation of the source's rows. So the rows follow from the cursors, without
the stage's row schedule or anything saved in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from codemix.data.batches.prepared_source import PreparedSource

_CHUNK = 2**20  # draws permuted at a time


@dataclasses.dataclass(frozen=True)
class StageDraws:
  """What one stage of a run drew.

  Attributes:
    name: the stage's folder: its readable name and the beginning of its hash.
    lineage: the folders of the stages that led to its model, with its own.
    draws: by source, (cursor at the stage's beginning, rows drawn).
    seed: the run's seed.
    finished: True if it was trained, False if it is planned.
  """

  name: str
  lineage: tuple[str, ...]
  draws: Mapping[str, tuple[int, int]]
  seed: int
  finished: bool = False


def columns(stages: Sequence[StageDraws]) -> list[tuple[str, tuple[str, ...]]]:
  """The row sets for which windows are counted: (stage, the stages whose rows count).

  First each stage alone, then each stage with its lineage. Both are needed: if
  one stage drew the first row of a window and another the second, the model
  consumed the window, but neither stage alone did.
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
    cursor, count = stage.draws[source.name]
    end = cursor + count
    if -(-cursor // len(source)) < end // len(source):  # a whole epoch, so every row is drawn
      bits |= mark
      continue
    for start in range(cursor, end, _CHUNK):
      for rows in source.rows_of_draws(start, min(start + _CHUNK, end), stage.seed):
        bits[rows] |= mark  # `rows` are of one epoch, so each occurs once
  return bits
