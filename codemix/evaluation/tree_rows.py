"""Rows of tokens in which continuations share their context, and how scored pairs are laid out in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from codemix.data.batches.rows import Batch
from codemix.evaluation.scoring import best_fit

# Tokens. In shorter rows few contexts fit, and matmuls of so few tokens gain nothing.
SHORTEST_ROW = 256

# Ids of a context, which begins with what the first token is predicted from (BOS, as a rule), and of its
# continuation. Both are not empty, and all of them but the last fit the model's length.
TokenPair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Tree:
  """A context and some of its continuations.

  Attributes:
    context: ids.
    continuations: ids of each.
    pairs: the number of the pair that each continuation is from.
  """

  context: tuple[int, ...]
  continuations: tuple[tuple[int, ...], ...]
  pairs: tuple[int, ...]

  @property
  def size(self) -> int:
    """Tokens in a row: the context without its last token, with which each continuation begins again."""
    return len(self.context) - 1 + sum(map(len, self.continuations))


def trees(pairs: Sequence[TokenPair], length: int, shared: bool = True) -> list[Tree]:
  """Trees with every pair once, none larger than `length` tokens, in the order of their first pair.

  Args:
    shared: whether pairs with the same context share it; else each pair is a tree.
  """
  by_context: dict[object, list[int]] = {}
  for number, (context, _) in enumerate(pairs):
    by_context.setdefault(context if shared else number, []).append(number)
  made = []
  for numbers in by_context.values():
    context = pairs[numbers[0]][0]
    for part in _split(numbers, [len(pairs[n][1]) for n in numbers], length - len(context) + 1):
      made.append(Tree(context, tuple(pairs[n][1] for n in part), tuple(part)))
  return made


def _split(numbers: list[int], sizes: list[int], room: int) -> Iterable[list[int]]:
  """Cuts a list where the sizes would add up to more than `room`."""
  part, used = [], 0
  for number, size in zip(numbers, sizes, strict=True):
    if part and used + size > room:
      yield part
      part, used = [], 0
    part.append(number)
    used += size
  yield part


def row_lengths(length: int, multiple: int) -> list[int]:
  """Lengths of rows, ascending: powers of two times `SHORTEST_ROW`, and the model's own, each a multiple of `multiple`."""
  lengths = [size for n in range(length.bit_length()) if (size := SHORTEST_ROW << n) < length]
  return sorted({-(-size // multiple) * multiple for size in (*lengths, length)})


def rows_of_trees(made: Sequence[Tree], lengths: Sequence[int], packed: bool = True) -> dict[int, list[list[Tree]]]:
  """The trees of each row, by the length of the row.

  Args:
    lengths: of rows, ascending; the last holds the largest tree.
    packed: whether a row may hold several trees.
  """
  fitting = lambda size: next(length for length in lengths if length >= size)
  windows = [(number, 0, tree.size) for number, tree in enumerate(made)]
  rows = best_fit(windows, fitting) if packed else [[window] for window in windows]
  by_length: dict[int, list[list[Tree]]] = {}
  for row in sorted(map(sorted, rows)):
    length = fitting(max(size for *_, size in row))
    by_length.setdefault(length, []).append([made[number] for number, *_ in row])
  return dict(sorted(by_length.items()))


def tree_row(row: Sequence[Tree], length: int) -> tuple[Batch, np.ndarray]:
  """One row of `codemix.models.branches.branch_scores`, and the number of the pair that each token scores, [L], -1 for none."""
  batch = {key: np.zeros(length, np.int32) for key in ('inputs', 'targets', 'segment_ids', 'branches', 'positions')}
  owners, end = np.full(length, -1, np.int64), 0
  for segment, tree in enumerate(row, 1):
    shared = len(tree.context) - 1
    whole = slice(end, end + tree.size)
    batch['segment_ids'][whole] = segment
    batch['inputs'][end : end + shared] = tree.context[:-1]
    batch['positions'][end : end + shared] = np.arange(shared)
    end += shared
    for branch, (ids, pair) in enumerate(zip(tree.continuations, tree.pairs, strict=True), 1):
      part = slice(end, end + len(ids))
      batch['inputs'][part] = (tree.context[-1], *ids[:-1])
      batch['targets'][part] = ids
      batch['branches'][part] = branch
      batch['positions'][part] = np.arange(shared, shared + len(ids))
      owners[part] = pair
      end += len(ids)
  return {**batch, 'weights': (owners >= 0).astype(np.float32)}, owners
