"""Writes corpora in the forms in which they are distributed, and reads them back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import zstandard

from codemix.data.corpus.corpus import Corpus
from codemix.data.raw.record import BadRecord, Record


def write_lines(path: Path, records: Iterable[Mapping]) -> str:
  """JSON lines, compressed as the name says."""
  return write_bytes(path, b''.join(json.dumps(record).encode() + b'\n' for record in records))


def write_bytes(path: Path, data: bytes) -> str:
  """`data` in a file, compressed as its name says."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(compressed(path.name, data))
  return str(path)


def compressed(name: str, data: bytes) -> bytes:
  if name.endswith('.gz'):
    return gzip.compress(data, mtime=0)
  return zstandard.compress(data) if name.endswith('.zst') else data


def read(corpus: Corpus, split: str = 'train') -> list[Record | BadRecord]:
  return [item for piece in corpus.pieces(split) for item in corpus.records(piece, split)]


def read_good(corpus: Corpus, split: str = 'train') -> list[Record]:
  """The records of a corpus in which nothing may be broken."""
  found = read(corpus, split)
  assert not [item for item in found if isinstance(item, BadRecord)]
  return found


def rows(reader, url: str) -> list:
  return [row for piece in reader.pieces([url]) for row in reader.rows(piece)]


def reasons(items: Iterable) -> dict[str, str]:
  """The place, below its folder, and reason of what is broken."""
  return {
    item.place.rpartition('/')[2]: item.reason for item in items if isinstance(item, BadRecord)
  }


def gzip_lines(path: Path) -> list[dict]:
  with gzip.open(path, 'rt', encoding='utf-8') as lines:
    return [json.loads(line) for line in lines]
