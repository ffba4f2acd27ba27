"""Finds the windows of the items in the consumed rows in one pass, by source and row set.

Any `codemix.workers` can run it. The items' hashes and the tokens' bytes are in
one file, which each worker reads once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codemix.contamination.consumed import StageDraws, consumed_rows
from codemix.contamination.decoding import Decoder
from codemix.contamination.index import Index
from codemix.contamination.normalise import byte_offsets, characters
from codemix.contamination.pieces import AHEAD_TOKENS, BEHIND_TOKENS, PIECE_TOKENS, Piece, cut
from codemix.contamination.readings import READINGS
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.store.token_store import TokenStore
from codemix.storage import as_path, read_json, write_bytes
from codemix.workers import Progress, Workers

BLOCK_TOKENS = 2**16  # tokens searched at a time: arrays of a few MB, which fit in the processor's caches


@dataclasses.dataclass(frozen=True)
class Hits:
  """Windows that were found.

  Attributes:
    grams: int64 [h], their numbers in the index, distinct and ascending.
    bits: uint8 [h, bytes], the row sets in which each occurs.
    places: int64 [h], the token of the source where each occurs first.
  """

  grams: np.ndarray
  bits: np.ndarray
  places: np.ndarray


def merge(parts: Sequence[Hits], width: int) -> Hits:
  """All hits as one; `width` is the bytes of a row's bits."""
  grams = np.concatenate([np.zeros(0, np.int64), *(part.grams for part in parts)])
  if not len(grams):
    return Hits(grams, np.zeros((0, width), np.uint8), np.zeros(0, np.int64))
  order = np.argsort(grams, kind='stable')
  distinct, begins = np.unique(grams[order], return_index=True)
  bits = np.concatenate([part.bits for part in parts])[order]
  places = np.concatenate([part.places for part in parts])[order]
  return Hits(distinct, np.bitwise_or.reduceat(bits, begins), np.minimum.reduceat(places, begins))


def search(
  sources: Mapping[str, PreparedSource],
  stages: Sequence[StageDraws],
  indexes: Sequence[Index],
  decoder: Decoder,
  folder: Path,
  workers: Workers,
  progress: Progress = lambda done: None,
  piece_tokens: int = PIECE_TOKENS,
) -> dict[str, dict[str, Hits]]:
  """Looks for the indexes' windows in the rows that the stages drew.

  Args:
    sources: the training rows, by name.
    indexes: one for each reading.
    folder: for the file that the workers read; they need access to it.
    progress: called with the number of pieces that are done.
    piece_tokens: tokens of a piece.

  Returns:
    The hits by source and by the reading's name; bits as in `consumed.columns(stages)`.
  """
  pieces, widths = [], {}
  for name, source in sources.items():
    bits = consumed_rows(source, stages)
    widths[name] = bits.shape[1]
    pieces += cut(source, bits, piece_tokens)
  found = workers.map(Search(_write_equipment(folder, indexes, decoder)), pieces, progress, folder)
  return {
    name: {
      index.reading.name: merge(
        [hits[index.reading.name] for piece, hits in zip(pieces, found, strict=True) if piece.source == name], width
      )
      for index in indexes
    }
    for name, width in widths.items()
  }


@dataclasses.dataclass(frozen=True)
class Search:
  """The step that a worker does for one piece.

  Attributes:
    equipment: the file with the indexes and the decoder.
  """

  equipment: str

  def __call__(self, piece: Piece) -> dict[str, Hits]:
    indexes, decoder = _read_equipment(self.equipment)
    store = _open(piece.folder, piece.digest)
    rows = max(BLOCK_TOKENS // piece.length, 1)
    found: dict[str, list[Hits]] = {index.reading.name: [] for index in indexes}
    for first in range(piece.first, piece.stop, rows):
      block = _read_block(store, piece, first, min(first + rows, piece.stop), decoder.eos_id)
      if block is None:
        continue
      text, offsets = decoder.decode(block.ids)
      codes = characters(text)
      for index in indexes:
        found[index.reading.name].append(_find(index, block, codes, offsets, decoder.eos_id))
    return {name: merge(hits, piece.bits.shape[1]) for name, hits in found.items()}


@dataclasses.dataclass(frozen=True)
class _Block:
  """Consumed tokens, with an end of document in place of a row that was not consumed.

  Attributes:
    begin, end: only windows that begin at tokens [begin, end) of the source count.
    ids: int32 [n].
    places: int64 [n], the index of each token in the source.
  """

  piece: Piece
  begin: int
  end: int
  ids: np.ndarray
  places: np.ndarray


def _read_block(store: TokenStore, piece: Piece, first: int, stop: int, eos_id: int) -> _Block | None:
  consumed = piece.bits.any(axis=1)
  if not consumed[first - piece.low : stop - piece.low].any():
    return None
  length = piece.length
  low = max(first * length - BEHIND_TOKENS, piece.low * length)
  high = min(stop * length + AHEAD_TOKENS, piece.high * length)
  ids, places = store.read(low, high), np.arange(low, high)
  seen = consumed[places // length - piece.low]
  if not seen.all():
    gap = ~seen & (places % length == 0)  # no window spans a row that was not consumed
    ids[gap] = eos_id
    ids, places = ids[seen | gap], places[seen | gap]
  return _Block(piece, first * length, stop * length, ids, places)


def _find(index: Index, block: _Block, codes: np.ndarray, offsets: np.ndarray, eos_id: int) -> Hits:
  units = index.reading.units(codes)
  grams, first, last = index.find(units)
  at_byte = byte_offsets(codes) if len(grams) else np.zeros(1, np.int64)
  begin = np.searchsorted(offsets, at_byte[units.starts[first]], side='right') - 1
  end = np.searchsorted(offsets, at_byte[units.ends[last]] - 1, side='right') - 1
  breaks = np.flatnonzero(block.ids == eos_id)
  inside = np.searchsorted(breaks, begin) == np.searchsorted(breaks, end)  # of one document
  from_token, to_token = block.places[begin], block.places[end]
  counted = inside & (from_token >= block.begin) & (from_token < block.end)
  grams, from_token, to_token = grams[counted], from_token[counted], to_token[counted]
  hits = Hits(grams, _bits_of_all(block.piece, from_token, to_token), from_token)
  return merge([hits], block.piece.bits.shape[1])


def _bits_of_all(piece: Piece, first_token: np.ndarray, last_token: np.ndarray) -> np.ndarray:
  """uint8 [h, bytes]: the row sets that have every row from the first token's to the last token's."""
  row, last = first_token // piece.length - piece.low, last_token // piece.length - piece.low
  bits = piece.bits[row]
  while (row < last).any():
    row = np.minimum(row + 1, last)
    bits = bits & piece.bits[row]
  return bits


def _write_equipment(folder: Path, indexes: Sequence[Index], decoder: Decoder) -> str:
  arrays = {'bytes': decoder.bytes, 'first': decoder.first, 'eos_id': np.asarray(decoder.eos_id)}
  for index in indexes:
    name, reading = index.reading.name, index.reading
    arrays[f'{name}_reading'] = np.asarray([reading.n, reading.minimum])
    arrays[f'{name}_keys'], arrays[f'{name}_prefixes'] = index.keys, index.prefixes
    arrays[f'{name}_lengths'] = np.asarray(index.lengths, np.int64)
  buffer = io.BytesIO()
  np.savez(buffer, **arrays)
  # The name has the hash of the content, because workers cache the file by name.
  path = as_path(folder).absolute() / f'windows-{hashlib.sha256(buffer.getvalue()).hexdigest()[:12]}.npz'
  write_bytes(path, buffer.getvalue())
  return str(path)


@functools.lru_cache(maxsize=1)
def _read_equipment(path: str) -> tuple[list[Index], Decoder]:
  with as_path(path).open('rb') as opened, np.load(opened) as file:
    arrays = {name: file[name] for name in file.files}
  indexes = [
    Index(
      kind(*arrays[f'{name}_reading'].tolist()),
      arrays[f'{name}_keys'],
      tuple(arrays[f'{name}_lengths'].tolist()),
      arrays[f'{name}_prefixes'],
    )
    for name, kind in READINGS.items()
    if f'{name}_reading' in arrays
  ]
  return indexes, Decoder(arrays['bytes'], arrays['first'], int(arrays['eos_id']))


@functools.lru_cache(maxsize=16)
def _open(folder: str, digest: str) -> TokenStore:
  """Opens the store without the checks, which were made before the scan; `digest` is part of the cache key."""
  return TokenStore(as_path(folder), read_json(as_path(folder) / 'manifest.json'))
