"""The ledger: what each source gave to each stage, planned beside realised.

The plan is arithmetic on (mixture, rows, cursors). What was realised is
counted from what the train step itself saw: it returns, per source, the rows
and the loss tokens that entered the loss and the documents that began in them,
and these are summed on the host. The two are compared before a stage's
checkpoint is called its result. Entries are chained: a stage's hash covers its
parent's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from codemix.data.batches.rows import Source
from codemix.data.order.permutation import permute, round_keys, unpermute
from codemix.data.order.row_schedule import RowSchedule, rows_of_each
from codemix.data.order.targets import Segment
from codemix.errors import CodemixError, UserError
from codemix.identity import digest

COUNTED = ('rows', 'loss_tokens', 'documents')  # what the train step counts


@dataclasses.dataclass(frozen=True)
class Cursor:
  """How far a run has read a source.

  Attributes:
    cursor: rows read since the source's first row, or since it was last rewound to it.
    drawn: rows read in all; rewinding does not make a repetition undone.
    furthest: the largest cursor that there was.
  """

  cursor: int = 0
  drawn: int = 0
  furthest: int = 0

  def after(self, rows: int) -> Cursor:
    return Cursor(self.cursor + rows, self.drawn + rows, max(self.furthest, self.cursor + rows))

  def rewound(self) -> Cursor:
    return dataclasses.replace(self, cursor=0)


@dataclasses.dataclass(frozen=True)
class SourceUse:
  """What one source gives to one stage.

  Attributes:
    source: its name.
    share: the share asked for, of the stage's loss tokens.
    rows: rows drawn in the stage.
    loss_tokens: rows times the row length.
    rows_cumulative: the same, over the run up to the stage's end.
    cursor: rows drawn before the stage since the source's first row; a rewind goes back to it.
    source_rows: rows of one epoch.
    documents: documents that begin in the drawn rows.
    unique_tokens: tokens among the drawn that differ in place, in this stage.
    unique_tokens_cumulative: the same, over the run up to the stage's end.
    epochs: rows drawn in the stage over rows of an epoch.
    epochs_cumulative: the same, over the run up to the stage's end; a rewound source is repeated.
    padded_tokens: positions of the drawn rows without a loss; none, by construction.
    cropped_tokens: tokens of the source's tail that no row holds.

  What depends on the whole source is None where that is streamed, not prepared.
  """

  source: str
  share: float
  rows: int
  loss_tokens: int
  rows_cumulative: int
  cursor: int
  padded_tokens: int
  source_rows: int | None = None
  documents: int | None = None
  unique_tokens: int | None = None
  unique_tokens_cumulative: int | None = None
  epochs: float | None = None
  epochs_cumulative: float | None = None
  cropped_tokens: int | None = None


def plan_draws(
  sources: Mapping[str, Source],
  shares: Mapping[str, Fraction],
  segments: Sequence[Segment],
  cursors: Mapping[str, Cursor],
  seed: int,
) -> list[SourceUse]:
  """What each source of a stage's mixture gives to it.

  Args:
    sources: the open sources by name.
    shares: exact share of each source over the whole stage, in the mixture's order.
    segments: how the shares go along the stage, sources in the same order.
    cursors: how far each source was read before the stage; absent is not at all.
    seed: the run's seed, which keys the epochs' permutations.
  """
  return [
    _draw(sources[name], share, rows, cursors.get(name, Cursor()), seed)
    for (name, share), rows in zip(shares.items(), rows_of_each(segments), strict=True)
  ]


def _draw(source: Source, share: Fraction, rows: int, before: Cursor, seed: int) -> SourceUse:
  size, after = len(source), before.after(rows)
  return SourceUse(
    source=source.name,
    share=float(share),
    rows=rows,
    loss_tokens=rows * source.length,
    rows_cumulative=after.drawn,
    cursor=before.cursor,
    source_rows=size,
    documents=_documents(source, before.cursor, after.cursor, seed),
    unique_tokens=_unique_rows(source, before.cursor, after.cursor, seed) * source.length,
    unique_tokens_cumulative=min(after.furthest, size) * source.length,
    epochs=rows / size,
    epochs_cumulative=after.drawn / size,
    padded_tokens=0,
    cropped_tokens=source.cropped_tokens,
  )


def _documents(source: Source, start: int, stop: int, seed: int) -> int:
  """Documents that begin in draws [start, stop); whole epochs are counted once, not row by row."""
  total, each_epoch = 0, None
  for rows in _rows_by_epoch(source, start, stop, seed):
    if len(rows) == len(source):
      each_epoch = each_epoch if each_epoch is not None else source.document_starts(rows)
      total += each_epoch
    else:
      total += source.document_starts(rows)
  return total


def _unique_rows(source: Source, start: int, stop: int, seed: int) -> int:
  """Rows among draws [start, stop) that differ; the end of one epoch may meet the next one's beginning."""
  size = len(source)
  left = size - start % size  # of the epoch that the first draw falls into
  if stop - start <= left:
    return stop - start
  if left == size or stop - start - left >= size:
    return size  # a whole epoch is among them
  return len(np.unique(np.concatenate(list(_rows_by_epoch(source, start, stop, seed)))))


def _rows_by_epoch(source: Source, start: int, stop: int, seed: int) -> Iterator[np.ndarray]:
  """The rows of draws [start, stop), int64, epoch by epoch; of a whole epoch in no special order."""
  size = len(source)
  while start < stop:
    epoch, first = divmod(start, size)
    count = min(size - first, stop - start)
    rows = np.arange(first, first + count)
    yield rows if count == size else permute(rows, size, round_keys(seed, source.name, epoch))
    start += count


def check_sources(sources: Mapping[str, Source], where: str) -> None:
  """Raises UserError for a source that does not fill one row."""
  for source in sources.values():
    if not len(source):
      raise UserError(
        f"{where}: '{source.name}' has {source.store.tokens:,} tokens, less than one row of {source.length:,}. "
        'Give it more data or shorten Recipe.length.'
      )


def check_epochs(draws: Sequence[SourceUse], max_epochs: float, where: str) -> None:
  """Raises UserError where a source would be repeated more often than allowed."""
  for draw in draws:
    require_epochs(draw.source, draw.rows, draw.rows_cumulative, draw.source_rows, max_epochs, where)


def require_epochs(source: str, rows: int, rows_cumulative: int, size: int, max_epochs: float, where: str) -> None:
  """Raises UserError where `rows` more rows of a source of `size` rows make more epochs than allowed."""
  if rows_cumulative > max_epochs * size:
    allowed = int(max_epochs * size) - (rows_cumulative - rows)
    raise UserError(
      f"{where} draws {rows:,} rows of '{source}', which makes {rows_cumulative / size:.2f} epochs over the run; "
      f'Recipe.max_epochs is {max_epochs:g}, which leaves {max(allowed, 0):,} rows. Lower its share or the tokens, add data, or raise Recipe.max_epochs.'
    )


class StageRows:
  """Position is arithmetic: which source, epoch and row stands at each row of a stage."""

  def __init__(
    self, sources: Mapping[str, Source], draws: Sequence[SourceUse], segments: Sequence[Segment], seed: int
  ):
    self.names = [draw.source for draw in draws]
    self.sources = [sources[name] for name in self.names]
    self.cursors = np.asarray([draw.cursor for draw in draws], np.int64)
    self.schedule = RowSchedule(segments)
    self._seed = seed

  def __len__(self) -> int:
    return len(self.schedule)

  def locate(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows [start, stop) of the stage.

    Returns:
      (source index, epoch, row within the source), int64 [stop - start] each.
    """
    which, ordinals = self.schedule.draws(start, stop)
    draws = self.cursors[which] + ordinals
    sizes = np.asarray([len(source) for source in self.sources], np.int64)[which]
    epochs = draws // sizes
    rows = np.empty_like(draws)
    for s, epoch in set(zip(which.tolist(), epochs.tolist(), strict=True)):
      here = (which == s) & (epochs == epoch)
      keys = round_keys(self._seed, self.names[s], epoch)
      rows[here] = permute(draws[here] % sizes[here], len(self.sources[s]), keys)
    return which, epochs, rows

  def rows_that_read(self, source: int, row: int) -> list[tuple[int, int]]:
    """Where a row of a source stands in the stage: (epoch, row of the stage), in order.

    Args:
      source: index of the source.
      row: row within the source's epoch.
    """
    size, cursor = len(self.sources[source]), int(self.cursors[source])
    end = cursor + int(self.schedule.counts[source])
    found = []
    for epoch in range(cursor // size, -(-end // size)):
      keys = round_keys(self._seed, self.names[source], epoch)
      draw = epoch * size + int(unpermute(np.asarray([row]), size, keys)[0])
      if cursor <= draw < end:
        found.append((epoch, self.schedule.row_of(source, draw - cursor)))
    return found


def compare(planned: Sequence[SourceUse], realised: Mapping[str, Mapping[str, int]], where: str) -> None:
  """Raises CodemixError where what was counted is not what was planned: a fault of codemix."""
  for draw in planned:
    for key in COUNTED:
      plan, found = getattr(draw, key), realised[draw.source][key]
      if plan is not None and plan != found:
        raise CodemixError(
          f"{where}: the ledger does not agree for '{draw.source}': {plan:,} {key} planned, {found:,} realised. "
          'The stage is not called done; please report this.'
        )


def with_shares_of(draws: Sequence[SourceUse], planned: Sequence[Mapping]) -> list[SourceUse]:
  """The draws as another recipe asked for them that comes to the same rows: 0.333 and 1/3 may be one stage.

  Args:
    planned: of an entry. A share that does not come to the rows of its draw is passed over.
  """
  asked = {draw['source']: draw['share'] for draw in planned}
  total = sum(draw.rows for draw in draws)
  same = lambda draw: abs(asked.get(draw.source, draw.share) * total - draw.rows) <= 1
  return [
    dataclasses.replace(draw, share=asked.get(draw.source, draw.share)) if same(draw) else draw for draw in draws
  ]


def entry(
  stage: str, planned: Sequence[SourceUse], realised: Mapping[str, Mapping[str, int]], parent_hash: str | None
) -> dict:
  """The ledger of a finished stage, chained to its parent's by hash."""
  body = {
    'stage': stage,
    'planned': [dataclasses.asdict(draw) for draw in planned],
    'realised': [{'source': name, **counts} for name, counts in realised.items()],
    'parent_hash': parent_hash,
  }
  return {**body, 'hash': digest(body)}
