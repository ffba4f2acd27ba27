"""What each source gives to a stage, planned: arithmetic on (mixture, rows, cursors)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from codemix.data.batches.source import Cursor, Source
from codemix.data.order.row_schedule import rows_of_each
from codemix.data.order.targets import Segment
from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
class SourceUse:
  """What one source gives to one stage.

  Attributes:
    source: its name.
    share: the share asked for, of the stage's loss tokens.
    rows: rows drawn in the stage.
    loss_tokens: of these rows, the tokens that count in the loss.
    tokens: of these rows, if the source has prompts, whose tokens do not count; None: all do, so that they are `loss_tokens`.
    rows_cumulative: rows drawn over the run up to the stage's end.
    cursor: rows drawn before the stage since the source's first row; a rewind goes back to it.
    source_rows: rows of one epoch.
    documents: documents that begin in the drawn rows.
    unique_tokens: tokens of the distinct rows among those drawn in this stage.
    unique_tokens_cumulative: the same, over the run up to the stage's end.
    epochs: rows drawn in the stage over rows of an epoch.
    epochs_cumulative: the same, over the run up to the stage's end; a rewound source is repeated.
    padded_tokens: positions of the drawn rows without a token; none, by construction.
    cropped_tokens: tokens of the source's tail that no row of an epoch holds.

  What depends on the whole source is None where that is streamed.
  """

  source: str
  share: float
  rows: int
  loss_tokens: int
  rows_cumulative: int
  cursor: int
  padded_tokens: int = 0
  source_rows: int | None = None
  documents: int | None = None
  unique_tokens: int | None = None
  unique_tokens_cumulative: int | None = None
  epochs: float | None = None
  epochs_cumulative: float | None = None
  cropped_tokens: int | None = None
  tokens: int | None = None

  def as_json(self) -> dict:
    """The fields, `tokens` only of a source with prompts: the ledgers of others are those from before there were any."""
    fields = dataclasses.asdict(self)
    return fields if self.tokens is not None else {key: value for key, value in fields.items() if key != 'tokens'}


def plan_uses(
  sources: Mapping[str, Source],
  shares: Mapping[str, Fraction],
  segments: Sequence[Segment],
  cursors: Mapping[str, Cursor],
  seed: int,
  *,
  max_epochs: float = math.inf,
  where: str = 'this stage',
  orders: Path | None = None,
) -> list[SourceUse]:
  """What each source of a stage's mixture gives to it.

  Of several processes all call it together: process 0 counts the documents, and sends the counts to the others.

  Args:
    shares: exact share of each source over the whole stage, in the mixture's order.
    segments: how the shares go along the stage, sources in the same order.
    cursors: how far each source was read before the stage; absent means not at all.
    seed: the run's seed, which keys the permutation of each epoch.
    max_epochs: how often a source may be read over the run.
    where: names the stage in an error.
    orders: the folder that keeps orders of long stages (`row_order`).

  Raises UserError: a source of known size would be read more often than `max_epochs`.
  """
  # It imports JAX, which a SeqIO task does without.
  from codemix.parallel.coordination import from_first

  uses = []
  for (name, share), rows in zip(shares.items(), rows_of_each(segments, orders), strict=True):
    source, before = sources[name], cursors.get(name, Cursor())
    after = before.after(rows)
    if source.epoch_rows and after.drawn > max_epochs * source.epoch_rows:
      allowed = max(int(max_epochs * source.epoch_rows) - before.drawn, 0)
      raise UserError(
        f"{where} draws {rows:,} rows of '{name}', which makes {after.drawn / source.epoch_rows:.2f} epochs over the run; "
        f'Recipe.max_epochs is {max_epochs:g}, which leaves {allowed:,} rows. Lower its share or the tokens, add data, or raise Recipe.max_epochs.'
      )
    uses.append(
      SourceUse(
        source=name,
        share=float(share),
        rows=rows,
        loss_tokens=rows * source.length,
        tokens=rows * source.length if source.has_prompts else None,
        rows_cumulative=after.drawn,
        cursor=before.cursor,
        **source.counts(before, after, seed),
      )
    )

  def counted(use: SourceUse) -> dict[str, int | None]:
    source, draws = sources[use.source], (use.cursor, use.cursor + use.rows, seed)
    found = {'documents': source.documents_drawn(*draws)}
    if source.has_prompts:
      found['loss_tokens'] = sum(int(loss.sum()) for loss in source.loss_of_draws(*draws))
    return found

  # Tables of documents have gigabytes: a pod's hosts would each read them from the bucket.
  found = from_first(lambda: [counted(use) for use in uses])
  return [dataclasses.replace(use, **counts) for use, counts in zip(uses, found, strict=True)]
