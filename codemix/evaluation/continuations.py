"""Negative log-likelihood of continuations of contexts under a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.evaluation.model import Model, Scores
from codemix.evaluation.scoring import score_documents

Pair = tuple[list[int], list[int]]  # token ids of a context without BOS, and of its continuation


def tokenized(tokenizer: Tokenizer, context: str, continuation: str) -> Pair:
  """Ids of both, divided where those of the context alone end.

  Spaces at the end of the context go to the continuation, since tokenizers join a space with the word after it.
  """
  space = len(context) - len(context.rstrip())
  if space:
    context, continuation = context[:-space], context[-space:] + continuation
  ids = tokenizer.encode(context)
  return ids, tokenizer.encode(context + continuation)[len(ids) :]


def score_continuations(model: Model, pairs: Sequence[Pair], show: Callable[[int], None] = lambda done: None) -> Scores:
  """(plain version; helper `score` replaces it: shared contexts once, greedy, cut from the left)"""
  documents = [
    (np.asarray(context + continuation), np.arange(len(context) + len(continuation)) >= len(context))
    for context, continuation in pairs
  ]
  nats = score_documents(model, documents, show)
  return Scores(nats, np.asarray([len(c) for _, c in pairs]), np.zeros(len(pairs), bool))
