"""Reads the files of evaluation sets as records: JSON, JSON lines, tables, parquet, and what TFDS prepared."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping

from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.corpus.readers.tfds import Tfds
from codemix.data.raw.protocols import Reader
from codemix.data.raw.record import BadRecord
from codemix.data.raw.storage import DAMAGE, open_raw
from codemix.errors import UserError

JSON, TABLES = ('.json', '.jsonl', '.ndjson'), ('.csv', '.tsv')
# UTF-32 before UTF-16: its mark begins with the same two bytes.
_MARKS = (
  (codecs.BOM_UTF8, 'utf-8-sig'),
  *((mark, 'utf-32') for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
  *((mark, 'utf-16') for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
_TFDS = re.compile(r'\.tfrecord-\d+-of-\d+$')
_LISTS = ('data', 'Data', 'examples', 'rows')  # SQuAD and QuAC, TriviaQA, BIG-bench, the hub's viewer
_LONGEST_CELL = 2**31 - 1  # csv's own limit is 131,072 characters


def records_of(url: str, head: bool, csv_head: bool = True) -> Iterator[tuple[str, Mapping]]:
  """(place, record) of each record of a file.

  Args:
    url: the file; the end of its name decides its format.
    head: whether the first line of a `.tsv` names its columns; otherwise they are '0', '1', ...
    csv_head: whether the first line of a `.csv` does.

  Raises UserError if it is missing, damaged or of an unknown format.
  """
  plain = url.removesuffix('.gz').removesuffix('.zst')
  if reader := _reader(url):
    yield from _read(reader, url)
    return
  if not plain.endswith((*JSON, *TABLES)):
    raise UserError(f'{url}: an evaluation set is a .jsonl, .json, .csv or .tsv file, plain, .gz or .zst, or a .parquet file.')
  try:
    with open_raw(url) as file:
      text = io.TextIOWrapper(file, _encoding(file), newline='')
      if plain.endswith(JSON):
        yield from _json(url, text.read())
      else:
        comma = plain.endswith('.csv')
        yield from _table(url, text, comma, csv_head if comma else head)
  except (*DAMAGE, csv.Error) as error:
    raise UserError(f'{url} is damaged: {error}.') from None
  except UnicodeError as error:
    raise UserError(f'{url} is not UTF-8, nor UTF-16 with its mark: {error}. Write it again as UTF-8.') from None


def is_tsv(url: str) -> bool:
  """Whether a file is a `.tsv`, whose first line may or may not name the columns."""
  return url.removesuffix('.gz').removesuffix('.zst').endswith('.tsv')


def _encoding(file: io.BufferedReader) -> str:
  beginning = file.peek(4)
  return next((encoding for mark, encoding in _MARKS if beginning.startswith(mark)), 'utf-8')


def _reader(url: str) -> Reader | None:
  if url.endswith('.parquet'):
    return Parquet()
  return Tfds() if _TFDS.search(url) else None


def _read(reader: Reader, url: str) -> Iterator[tuple[str, Mapping]]:
  for piece in reader.pieces([url]):
    for row in reader.rows(piece):
      if isinstance(row, BadRecord):
        raise UserError(f'{row.place} is damaged: {row.reason} ({row.detail}).')
      place, fields = row
      yield place, _as_text(fields) if isinstance(reader, Tfds) else fields


def _as_text(value: object) -> object:
  """TFDS's texts are bytes; other bytes, such as those of a picture, stay bytes."""
  if isinstance(value, Mapping):
    return {name: _as_text(inner) for name, inner in value.items()}
  if isinstance(value, list):
    return [_as_text(inner) for inner in value]
  with contextlib.suppress(UnicodeDecodeError):
    return value.decode() if isinstance(value, bytes) else value
  return value


def _json(url: str, text: str) -> Iterator[tuple[str, Mapping]]:
  """Records of an array, of an object that holds one, or line by line, whatever the file's name says."""
  try:
    whole = json.loads(text)
  except (ValueError, RecursionError) as error:
    if text.lstrip().startswith('['):
      raise UserError(f'{url} is not JSON: {error}.') from None
    yield from _json_lines(url, text)
    return
  rows = _listed(whole)
  if rows == [whole]:  # JSON lines, of one line
    yield (place := f'{url}:1'), _is_object(place, whole)
    return
  for number, row in enumerate(rows):
    yield (place := f'{url}:record {number}'), _is_object(place, row)


def _listed(whole: object) -> list:
  if isinstance(whole, Mapping):
    found = next((whole[name] for name in _LISTS if isinstance(whole.get(name), list)), [])
    rows = found if found and all(isinstance(row, Mapping) for row in found) else _columns(whole) or [whole]
  else:
    rows = whole if isinstance(whole, list) else [whole]
  if rows and all(isinstance(row, Mapping) and isinstance(row.get('row'), Mapping) for row in rows):
    return [row['row'] for row in rows]
  return rows


def _columns(whole: Mapping) -> list[Mapping]:
  """The records of a table that pandas or `datasets` wrote by columns; [] if it is not one."""
  columns = list(whole.values())
  if all(isinstance(column, list) for column in columns):
    if len({len(column) for column in columns}) == 1:
      return [dict(zip(whole, cells, strict=True)) for cells in zip(*columns, strict=True)]
  elif all(isinstance(column, Mapping) for column in columns):
    numbers = list(columns[0])
    if all(number.isdecimal() for number in numbers) and all(list(column) == numbers for column in columns):
      return [{name: column[number] for name, column in whole.items()} for number in numbers]
  return []


def _json_lines(url: str, text: str) -> Iterator[tuple[str, Mapping]]:
  for number, line in enumerate(io.StringIO(text, newline=''), 1):
    if line.strip():
      place = f'{url}:{number}'
      try:
        row = json.loads(line)
      except (ValueError, RecursionError) as error:
        raise UserError(f'{place} is not JSON: {error}.') from None
      yield place, _is_object(place, row)


def _table(url: str, text: io.TextIOBase, comma: bool, head: bool) -> Iterator[tuple[str, Mapping]]:
  csv.field_size_limit(_LONGEST_CELL)
  if comma or head:
    lines = csv.reader(text, delimiter=',' if comma else '\t', strict=True)  # else an open quote takes all lines behind it
  else:
    lines = csv.reader(text, delimiter='\t', quoting=csv.QUOTE_NONE)
  names = [name.strip() for name in next(lines, [])] if head else None
  for number, cells in enumerate(filter(None, lines), 1):
    if names and any(cells[len(names) :]):
      raise UserError(f'{url}:record {number} has {len(cells)} cells for {len(names)} columns; put cells that hold the separator into quotes.')
    yield f'{url}:record {number}', dict(zip(names or map(str, range(len(cells))), cells, strict=False))


def _is_object(place: str, row: object) -> Mapping:
  if not isinstance(row, Mapping):
    raise UserError(f'{place} is not a JSON object, but {type(row).__name__}.')
  return row
