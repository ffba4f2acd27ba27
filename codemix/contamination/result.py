"""The contents of `contamination.json`: what was found, item by item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from codemix.contamination.consumed import StageDraws, columns
from codemix.contamination.index import Index, Passages, build_index
from codemix.contamination.items import PARTS, Items
from codemix.contamination.scan import Hits
from codemix.contamination.settings import Contamination
from codemix.data.batches.prepared_source import PreparedSource

FORMAT = 1
ALL = '(all sources)'
DECISIVE = ('question', 'answer')  # the parts that make an item contaminated; its context does not


@dataclasses.dataclass(frozen=True)
class Searched:
  """The passages of all sets in one reading.

  Attributes:
    owners: (number of the set, number of the item, name of the part) of each passage.
  """

  index: Index
  passages: Passages
  owners: tuple[tuple[int, int, str], ...]


def index_sets(sets: Sequence[Items], settings: Contamination) -> list[Searched]:
  """Indexes all sets as words, and sets of code also as code."""
  searched = []
  for reading in (settings.words, settings.code):
    chosen = [
      ((s, i, part), text)
      for s, items in enumerate(sets)
      if items.code or reading is settings.words
      for i, item in enumerate(items.items)
      for part, text in item.passages
    ]
    index, passages = build_index(reading, [text for _, text in chosen])
    searched.append(Searched(index, passages, tuple(owner for owner, _ in chosen)))
  return searched


@dataclasses.dataclass
class _Found:
  """One item's shares: the maximum over its passages and readings.

  Attributes:
    shares: by source (or ALL), float [columns], of the decisive parts.
    parts: by part, over all sources and columns.
    reading: (the maximum share, the reading that has it).
    example: (source, token) of a window that was found.
  """

  shares: dict[str, np.ndarray]
  parts: dict[str, float]
  reading: tuple[float, str] = (0.0, '')
  example: tuple[str, int] | None = None


def gather(
  searched: Sequence[Searched],
  hits: Mapping[str, Mapping[str, Hits]],
  stages: Sequence[StageDraws],
) -> dict[tuple[int, int], _Found]:
  """The items of which a window was found, by (set, item)."""
  width = len(columns(stages))
  found: dict[tuple[int, int], _Found] = {}
  for one in searched:
    name = one.index.reading.name
    by_source, compact = _spread({source: r[name] for source, r in hits.items()}, len(one.index.keys), width)
    by_source[ALL] = np.logical_or.reduce(list(by_source.values()))
    places = {source: dict(zip(r[name].grams.tolist(), r[name].places.tolist(), strict=True)) for source, r in hits.items()}
    for p in np.flatnonzero(one.passages.found(by_source[ALL].any(axis=1)[compact])).tolist():
      grams = one.passages.grams[one.passages.first[p] : one.passages.first[p + 1]]
      s, i, part = one.owners[p]
      item = found.setdefault((s, i), _Found({}, {}))
      for source, hit in by_source.items():
        _take(item, source, part, hit[compact[grams]].mean(axis=0), name)
      item.example = item.example or next(
        (source, places[source][gram]) for gram in grams.tolist() for source in places if gram in places[source]
      )
  return found


def _spread(hits: Mapping[str, Hits], grams: int, width: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """(by source: bool [rows, columns] of the hits' bits, int64 [grams]: the row of each; the last one is of those not found)."""
  distinct = np.unique(np.concatenate([np.zeros(0, np.int64), *(h.grams for h in hits.values())]))
  compact = np.full(grams, len(distinct))
  compact[distinct] = np.arange(len(distinct))
  spread = {}
  for source, found in hits.items():
    spread[source] = np.zeros((len(distinct) + 1, width), bool)
    spread[source][compact[found.grams]] = np.unpackbits(found.bits, axis=1, count=width, bitorder='little')
  return spread, compact


def _take(item: _Found, source: str, part: str, shares: np.ndarray, reading: str) -> None:
  if source == ALL:
    item.parts[part] = max(item.parts.get(part, 0.0), float(shares.max()))
  if part in DECISIVE:
    item.shares[source] = np.maximum(item.shares.get(source, 0.0), shares)
    if source == ALL:
      item.reading = max(item.reading, (float(shares.max()), reading))


def describe(
  sets: Sequence[Items],
  searched: Sequence[Searched],
  found: Mapping[tuple[int, int], _Found],
  stages: Sequence[StageDraws],
  sources: Mapping[str, PreparedSource],
  settings: Contamination,
) -> dict:
  """What `contamination.json` holds; `docs/contamination.md` names its fields."""
  return {
    'format': FORMAT,
    'settings': {
      'words': dataclasses.asdict(settings.words),
      'code': dataclasses.asdict(settings.code),
      'contaminated': settings.contaminated,
      'clean': settings.clean,
    },
    'stages': [_describe_stage(stage, sources) for stage in stages],
    'sets': [
      _describe_set(s, items, _checked(s, searched), found, stages, settings) for s, items in enumerate(sets)
    ],
    'items': [
      _describe_item(sets[s], i, item, stages, sources) for (s, i), item in sorted(found.items(), key=lambda f: f[0])
    ],
  }


def _checked(s: int, searched: Sequence[Searched]) -> set[int]:
  """The items of a set that have a window in a decisive part."""
  return {
    owner[1]
    for one in searched
    for owner, count in zip(one.owners, one.passages.counts().tolist(), strict=True)
    if owner[0] == s and count and owner[2] in DECISIVE
  }


def _describe_stage(stage: StageDraws, sources: Mapping[str, PreparedSource]) -> dict:
  return {
    'stage': stage.name,
    'lineage': list(stage.lineage),
    'finished': stage.finished,
    'sources': {
      name: {'rows': rows, 'tokens': rows * sources[name].length, 'store': sources[name].store.digest}
      for name, (_, rows) in stage.draws.items()
    },
  }


def _describe_set(
  s: int,
  items: Items,
  checked: set[int],
  found: Mapping[tuple[int, int], _Found],
  stages: Sequence[StageDraws],
  settings: Contamination,
) -> dict:
  mine = [item for (owner, _), item in found.items() if owner == s]
  return {
    'set': items.name,
    'code': items.code,
    'digest': dict(items.digest),
    'items': len(items.items),
    'too_short': [item.id for i, item in enumerate(items.items) if i not in checked],
    'counts': [
      {'stage': stage, 'rows': 'of the stage' if c < len(stages) else 'up to its end', 'source': source, **counts}
      for c, (stage, _) in enumerate(columns(stages))
      for source in dict.fromkeys([ALL, *(name for item in mine for name in item.shares)])
      if (counts := _counts([item.shares[source][c] for item in mine if source in item.shares], settings))['touched']
      or source == ALL
    ],
    'ids': [item.id for item in items.items],
  }


def _counts(shares: Sequence[float], settings: Contamination) -> dict[str, int]:
  shares = np.asarray(shares, float)
  return {
    'touched': int((shares > 0).sum()),
    'not_clean': int((shares >= settings.clean).sum()),
    'contaminated': int((shares >= settings.contaminated).sum()),
  }


def _describe_item(
  items: Items, i: int, item: _Found, stages: Sequence[StageDraws], sources: Mapping[str, PreparedSource]
) -> dict:
  source, token = item.example
  document = int(np.searchsorted(sources[source].store.document_ends, token, side='right'))
  return {
    'set': items.name,
    'id': items.items[i].id,
    'share': round(item.reading[0], 4),
    'reading': item.reading[1],
    'parts': {part: round(item.parts[part], 4) for part in PARTS if part in item.parts},
    'example': {'source': source, 'document': document, 'token': token},
    'stages': {
      stage.name: {
        'of the stage': _nonzero(item.shares, s),
        'up to its end': _nonzero(item.shares, len(stages) + s),
      }
      for s, stage in enumerate(stages)
    },
  }


def _nonzero(shares: Mapping[str, np.ndarray], column: int) -> dict[str, float]:
  return {source: round(float(values[column]), 4) for source, values in shares.items() if values[column] > 0}
