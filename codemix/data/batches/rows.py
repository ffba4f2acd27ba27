"""Rows: a source's token stream cut every L tokens, with each document kept to itself.

Row r holds tokens [rL, (r+1)L) of the stream as *targets*; the inputs are the same tokens shifted
right inside each document, with BOS where a document begins. So every token of the stream, EOS
included, is predicted exactly once per epoch, each row holds exactly L loss tokens whatever the
length of its documents, and a share of rows is a share of loss tokens. A document that a cut
divides goes on in the next row with only its previous token as context. The tail shorter than a row
is not trained on; the ledger counts it as cropped.

In a source with prompts (`TokenStore.has_prompts`) the tokens of prompts are predicted like all others, at weight 0: rows
are cut as before, and hold fewer loss tokens than L, some of them none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Batch = dict[str, np.ndarray]


def pack_row(
  targets: np.ndarray, ends: np.ndarray, previous: np.ndarray | None, bos_id: int, counts: np.ndarray | None = None
) -> Batch:
  """One row from its targets.

  Args:
    targets: int32 [L].
    ends: positions in the row where a document has ended and the next begins, each in (0, L).
    previous: the one token before the row where a document continues into it, else None.
    bos_id: the input at the first token of a document.
    counts: whether each target counts in the loss, bool [L]; None where all do.

  Returns:
    inputs, targets, segment_ids (from 1), positions: int32 [L]; weights: float32 [L], 1 where a target counts, else 0.
  """
  length = len(targets)
  bounds = np.concatenate([[0], ends, [length]]).astype(np.int64)
  sizes = np.diff(bounds)
  inputs = np.empty(length, np.int32)
  inputs[1:] = targets[:-1]
  inputs[bounds[1:-1]] = bos_id
  inputs[0] = bos_id if previous is None else previous[0]
  return {
    'inputs': inputs,
    'targets': targets.astype(np.int32),
    'segment_ids': np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes),
    'positions': (np.arange(length) - np.repeat(bounds[:-1], sizes)).astype(np.int32),
    'weights': np.ones(length, np.float32) if counts is None else counts.astype(np.float32),
  }


def stack_rows(rows: Sequence[Batch]) -> Batch:
  """Rows as one batch: [L] arrays become [B, L]."""
  return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
