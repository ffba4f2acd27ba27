"""How a corpus is divided over the shards of its store."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from codemix.data.raw.protocols import Piece
from codemix.data.store import token_store


@dataclasses.dataclass(frozen=True)
class Shard:
  """Pieces of a corpus, in order, with the size of each (bytes as stored, or about that)."""

  name: str
  pieces: tuple[Piece, ...]
  size: tuple[int, ...]

  def __str__(self) -> str:
    return f'shard {self.name} ({self.pieces[0].url} and what follows)'


def deal(pieces: Sequence[Piece], sizes: Sequence[int], shards: int) -> list[Shard]:
  """Divides pieces over shards: in order, each a run of about the same size, none empty.

  It is a function of its arguments alone, so every run of `prepare`, on however
  many workers, writes the same shards.
  """
  shards = min(shards, len(pieces))
  ends = np.cumsum([0, *sizes])
  cuts = [0]
  for index in range(1, shards):
    # The cut that is nearest to equal sizes and leaves a piece for every shard.
    nearest = int(np.argmin(np.abs(ends - ends[-1] * index / shards)))
    cuts.append(min(max(nearest, cuts[-1] + 1), len(pieces) - shards + index))
  cuts.append(len(pieces))
  return [
    Shard(token_store.shard_name(index, shards), tuple(pieces[begin:end]), tuple(sizes[begin:end]))
    for index, (begin, end) in enumerate(itertools.pairwise(cuts))
  ]
