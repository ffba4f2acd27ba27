"""Negative log-likelihood of continuations of contexts under a model.

Continuations of the same context share its computation, wherever they are in the list: they are branches of a
tree (`codemix.evaluation.tree_rows`). Several trees are packed into a row, rows have one of few lengths, and
the head is computed only for the tokens that are scored. A score depends on the model and its pair only: not on the
batch, nor on the other pairs, but for the order of sums (1e-6 of it in float32).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.data.batches.rows import Batch, stack_rows
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import NonFiniteError
from codemix.evaluation.model import Model, Scores
from codemix.evaluation.scoring import on_devices
from codemix.evaluation.tree_rows import (
  TokenPair,
  Tree,
  row_lengths,
  rows_of_trees,
  tree_row,
  trees,
)
from codemix.models import decoder
from codemix.models.branches import branch_scores
from codemix.models.config import ModelConfig
from codemix.numerics import pinned
from codemix.parallel.sharding import ShardingRules, batch_shards, sequence_shards

Pair = tuple[list[int], list[int]]  # token ids of a context without BOS, and of its continuation


def tokenized(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
  """Ids of (context, continuation) texts, divided where those of the context alone end.

  This is what lm-evaluation-harness does. White space at the end of the context goes to the continuation, since
  tokenizers join a space with the word after it. Where a token would cross the boundary, the ids of the
  context alone are kept, and the continuation is what the ids of the whole text have after as many; if
  nothing is left, it is encoded by itself, so that only an empty text has no tokens.
  """
  divided = [_at_word(*pair) for pair in pairs]
  ids = _encoded(tokenizer, [text for context, continuation in divided for text in (context, context + continuation)])
  made = [(ids[context], ids[context + continuation][len(ids[context]) :]) for context, continuation in divided]
  swallowed = [n for n, (_, continuation) in enumerate(made) if not continuation and divided[n][1]]
  alone = _encoded(tokenizer, [divided[n][1] for n in swallowed])
  for n in swallowed:
    made[n] = made[n][0], alone[divided[n][1]]
  return made


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, list[int]]:
  unique = list(dict.fromkeys(texts))
  return dict(zip(unique, tokenizer.encode_batch(unique), strict=True))


def _at_word(context: str, continuation: str) -> tuple[str, str]:
  words = context.rstrip()
  return words, context[len(words) :] + continuation


def score_continuations(
  model: Model, pairs: Sequence[Pair], show: Callable[[int], None] = lambda done: None, keep_bos: bool = True
) -> Scores:
  """Scores each continuation after BOS and its context.

  If BOS, context and continuation exceed the model's length, the context is cut from the left. A
  continuation that exceeds it alone is scored in windows of that length, each after BOS, like a
  held-out document (`score_documents`). An empty continuation has 0 nats and is greedy.

  Raises NonFiniteError if a score is not finite.

  Args:
    model: the model; its length is the longest input.
    pairs: token ids.
    show: called with the number of pairs scored so far.
    keep_bos: whether BOS stays before a context that was cut; lm-evaluation-harness cuts it too.
  """
  bos = model.tokenizer.bos_id
  windows: list[TokenPair] = []
  owners: list[int] = []
  for number, (context, continuation) in enumerate(pairs):
    for first in range(0, len(continuation), model.length):
      part = tuple(continuation[first : first + model.length])
      room = model.length - len(part) if len(continuation) <= model.length else 0
      windows.append((_cut(bos, context, room, keep_bos), part))
      owners.append(number)
  of_windows = score_tokens(model, windows, lambda done: show(int(done * len(pairs) / len(windows))))
  scores = Scores(np.zeros(len(pairs)), np.zeros(len(pairs), np.int64), np.ones(len(pairs), bool))
  np.add.at(scores.nats, owners, of_windows.nats)
  np.add.at(scores.tokens, owners, of_windows.tokens)
  np.logical_and.at(scores.greedy, owners, of_windows.greedy)
  return scores


def _cut(bos: int, context: Sequence[int], room: int, keep_bos: bool) -> tuple[int, ...]:
  """BOS and the end of a context, `room` + 1 tokens at most."""
  if len(context) <= room:
    return bos, *context
  return (bos, *context[len(context) - room :]) if keep_bos else tuple(context[len(context) - room - 1 :])


@pinned()
def score_tokens(
  model: Model, pairs: Sequence[TokenPair], show: Callable[[int], None] = lambda done: None, packed: bool = True
) -> Scores:
  """Scores continuations after contexts that begin with any token; nothing is put before them.

  Raises NonFiniteError if a score is not finite.

  Args:
    pairs: token ids of (context, continuation), neither empty, of together at most the model's length + 1;
      equal pairs are computed once.
    show: called with the number of pairs scored so far.
    packed: whether contexts are shared and rows hold several; else each pair has a row to itself.
  """
  number_of = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
  unique = list(number_of)
  nats, wrong = np.zeros(len(unique)), np.zeros(len(unique), np.int64)
  score = make_score(model.config, model.mesh, model.rules)
  done = 0

  def take(scores: tuple[jax.Array, jax.Array], owners_BxL: np.ndarray) -> None:
    nonlocal done
    nats_BxL, greedy_BxL = map(np.asarray, scores)
    scored = owners_BxL >= 0
    np.add.at(nats, owners_BxL[scored], nats_BxL[scored].astype(np.float64))
    np.add.at(wrong, owners_BxL[scored], ~greedy_BxL[scored])
    done += len(np.unique(owners_BxL[scored]))
    show(done * len(pairs) // len(unique))

  waiting: tuple | None = None  # a batch that the devices compute while the next one is put together
  for rows, owners_BxL in _batches(model, unique, packed):
    scoring = score(model.params, on_devices(rows, model.mesh)), owners_BxL
    if waiting:
      take(*waiting)
    waiting = scoring
  if waiting:
    take(*waiting)
  if not np.isfinite(nats).all():
    raise NonFiniteError(
      f'{model.name}: the log-likelihood of a continuation is not finite: the parameters are damaged, or too large for {model.config.dtype}.'
    )
  of_pairs = np.fromiter(map(number_of.get, pairs), np.int64, len(pairs))
  tokens = np.fromiter((len(continuation) for _, continuation in pairs), np.int64, len(pairs))
  return Scores(nats[of_pairs], tokens, wrong[of_pairs] == 0)


@functools.cache
def make_score(model: ModelConfig, mesh: Mesh, rules: ShardingRules):
  """Jitted (params, batch) -> `branch_scores`, in full on every process."""

  def score(params: decoder.Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    return branch_scores(model, params, batch, mesh=mesh, rules=rules)

  return jax.jit(score, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _batches(model: Model, pairs: Sequence[TokenPair], packed: bool) -> Iterator[tuple[Batch, np.ndarray]]:
  """Yields rows, and the pair that each token scores, int64 [B, L]."""
  lengths = row_lengths(model.length, sequence_shards(model.mesh))
  made = trees(pairs, lengths[-1], shared=packed)
  for length, rows in rows_of_trees(made, lengths, packed).items():
    count = rows_at_a_time(model, length, len(rows))
    for first in range(0, len(rows), count):
      # The last batch is padded to the shape of the others, so that nothing is compiled again.
      batch = rows[first : first + count] + [[]] * (first + count - len(rows))
      yield _batch(batch, length)


def _batch(rows: Sequence[Sequence[Tree]], length: int) -> tuple[Batch, np.ndarray]:
  batches, owners = zip(*(tree_row(row, length) for row in rows), strict=True)
  return stack_rows(batches), np.stack(owners)


def rows_at_a_time(model: Model, length: int, rows: int) -> int:
  """Rows of a batch: as many tokens as `model.batch` rows of the model's length, but a power of two no larger than needed."""
  shards = batch_shards(model.mesh)
  most = max(model.batch * model.length // length, model.batch) // shards
  needed = -(-rows // shards)
  return shards * min(most, 1 << (needed - 1).bit_length())
