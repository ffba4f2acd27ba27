"""Loss and bits per byte on the held-out documents of a source."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import NonFiniteError, UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import HELD_OUT_PREFIX, Results, StoredResults
from codemix.evaluation.scoring import score_documents
from codemix.training.progress import scoring_progress


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
  """The evaluator that scores documents of a held-out split.

  Attributes:
    source: whose split it is.
    store: the split.
    documents: the numbers of those that are scored, ascending, int64 [n].
  """

  source: str
  store: TokenStore
  documents: np.ndarray
  version: ClassVar[int] = 1

  @property
  def whole(self) -> bool:
    """Whether every document of the split is scored."""
    return len(self.documents) == self.store.documents

  def __str__(self) -> str:
    total = f'{self.store.documents:,} document{"s"[: self.store.documents != 1]}'
    return total if self.whole else f'{len(self.documents):,} of {total}'

  @property
  def name(self) -> str:
    return f'{HELD_OUT_PREFIX}{self.source}'

  @property
  def identity(self) -> dict[str, Any]:
    """The number of documents is part of it only if it leaves some out."""
    return {'store': self.store.digest, **({} if self.whole else {'documents': len(self.documents)})}

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Scores the documents that `earlier` has not scored.

    Raises NonFiniteError if the loss of a document is not finite.

    Returns:
      The scores of `summary`, with `of_documents` (those of the split) where some are left out;
      items `nats`, `tokens`, `bytes` and `documents` (their numbers in the store). Of a split with prompts all of them
      are those of the answers.
    """
    nats = np.full(self.store.documents, np.nan)
    scored, nats_of_scored = self._scored(earlier)
    nats[scored] = nats_of_scored
    if len(missing := np.setdiff1d(self.documents, scored, assume_unique=True)):
      nats[missing] = self._score(model, missing)
    tokens, size = self._sizes(model.tokenizer)
    items = {'nats': nats[self.documents], 'tokens': tokens, 'bytes': size}
    scores = summary(**items)
    if not self.whole:
      scores['of_documents'] = self.store.documents
    return Results(scores, {**items, 'documents': self.documents})

  def _sizes(self, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each document that count, int64, and the bytes of their text; those of answers as the tokenizer gives them back."""
    if not self.store.has_prompts:
      return np.diff(self.store.document_ends, prepend=0)[self.documents], self.store.document_bytes[self.documents]
    answers = [ids[counts] for ids, counts in StoredDocuments(self.store, self.documents)]
    size = [len(tokenizer.decode_bytes(ids.tolist())) for ids in answers]
    return np.array([len(ids) for ids in answers], np.int64), np.array(size, np.int64)

  def _scored(self, earlier: StoredResults | None) -> tuple[np.ndarray, np.ndarray]:
    """(numbers, nats) of the documents that earlier results hold of this split."""
    nothing = np.zeros(0, np.int64), np.zeros(0)
    same = {'store': self.store.digest, 'version': self.version}
    if earlier is None or not same.items() <= earlier.identity.items():
      return nothing
    try:
      items = earlier.items()
    except UserError:  # damaged: scored again, and written anew
      return nothing
    nats = items.get('nats', nothing[1])
    documents = items.get('documents', np.arange(len(nats)))  # before documents could be left out, it was all of them
    return (documents, nats) if len(documents) == len(nats) == earlier.scores['documents'] else nothing

  def _score(self, model: Model, documents: np.ndarray) -> np.ndarray:
    shown = not jax.process_index()
    with scoring_progress(model.name, self.source, len(documents), shown) as show:
      nats = score_documents(model, StoredDocuments(self.store, documents), show)
    if not (finite := np.isfinite(nats)).all():
      raise NonFiniteError(
        f"stage '{model.name}': its model's loss on document {documents[~finite][0]:,} of '{self.source}' (validation) is not finite."
      )
    return nats


class StoredDocuments(Sequence):
  """Documents of a token store as (ids, mask), each read on access; of a store with prompts only answers count."""

  def __init__(self, store: TokenStore, documents: np.ndarray | None = None):
    ends = store.document_ends
    starts = np.append(0, ends[:-1])
    self._store, chosen = store, slice(None) if documents is None else documents
    self._starts, self._ends = starts[chosen], ends[chosen]

  def __len__(self) -> int:
    return len(self._ends)

  def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    place = int(self._starts[index]), int(self._ends[index])
    ids = self._store.read(*place)
    return ids, self._store.counts_in_loss(*place) if self._store.has_prompts else np.broadcast_to(True, len(ids))


def summary(nats: np.ndarray, tokens: np.ndarray, bytes: np.ndarray) -> dict[str, float]:
  """Sums over N documents: loss in nats per token, bits per byte as nats / (ln 2 * bytes).

  Args:
    nats: float64 [N], summed negative log-likelihood of each document, EOS included.
    tokens: int64 [N], those that count.
    bytes: int64 [N], their length before tokenization.
  """
  total, count, size = math.fsum(nats), int(tokens.sum()), int(bytes.sum())
  return {
    'documents': len(nats),
    'tokens': count,
    'bytes': size,
    'nats': total,
    'loss': total / count,
    'bits_per_byte': total / (math.log(2) * size),
  }


def choose(source: str, store: TokenStore, limit: int | None) -> HeldOut:
  """Chooses the documents of a split to score.

  The documents whose contents have the lowest digests are chosen. So they are the same documents
  for every stage and recipe, whatever their order in the store, and a higher limit adds documents
  to those of a lower one.

  Args:
    limit: how many documents at most; None for all.
  """
  if limit is None or limit >= store.documents:
    return HeldOut(source, store, np.arange(store.documents))
  return HeldOut(source, store, np.sort(np.argsort(_digests(store), kind='stable')[:limit]))


def _digests(store: TokenStore) -> np.ndarray:
  """uint64 [documents], of each document's tokens."""
  digest = lambda ids: hashlib.blake2b(ids.astype('<i4').tobytes(), digest_size=8).digest()
  found = (int.from_bytes(digest(ids), 'little') for ids, _ in StoredDocuments(store))
  return np.fromiter(found, np.uint64, store.documents)
