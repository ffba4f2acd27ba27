"""The layout of Jupyter notebooks: prose and code in their order, without outputs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping

from codemix.checked import checked
from codemix.data.sources.fields import FieldError, label, string, value
from codemix.data.sources.reading import Layout
from codemix.data.sources.record import BadRecord, Record


@dataclasses.dataclass(frozen=True)
@checked
class Notebook(Layout):
  """The cells of an `.ipynb`: markdown as it stands, code between ``` with its language.

  For files (`WholeFiles(include=('*.ipynb',))`), and for parquet or JSON lines with a column that
  holds the notebook. Formats 3 and 4 of Jupyter. Raw cells are dropped with the outputs.

  Attributes:
    field: the notebook, as JSON text or as an object; '' where the row itself is one.
    source, id: fields, as in `Text`.
    language: of all documents; '' for that of the notebook's kernel, 'python' where it names none.
  """

  field: str = 'text'
  source: str | None = None
  id: str | None = None
  language: str = ''

  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    try:
      notebook = self._notebook(row)
      kernel = _language(notebook)
      text = '\n\n'.join(_parts(notebook, kernel))
      if not text:
        return BadRecord(place, 'empty notebook', expected=True)
      source, id = label(row, self.source, 'source'), label(row, self.id, 'id')
      return Record(text, source, self.language or kernel, id)
    except FieldError as error:
      return error.bad(place)

  def _notebook(self, row: Mapping) -> Mapping:
    found = value(row, self.field) if self.field else row
    if not isinstance(found, Mapping):
      try:
        found = json.loads(string(row, self.field))
      except (ValueError, RecursionError) as error:
        raise FieldError('not JSON', str(error)[:200]) from None
    if not isinstance(found, Mapping) or not isinstance(_cells(found), list):
      raise FieldError('no notebook', 'it has no list of cells')
    return found


def _cells(notebook: Mapping) -> object:
  if isinstance(notebook.get('worksheets'), list):  # format 3
    sheets = [sheet for sheet in notebook['worksheets'] if isinstance(sheet, Mapping)]
    return [cell for sheet in sheets for cell in sheet.get('cells') or []]
  return notebook.get('cells')


def _language(notebook: Mapping) -> str:
  metadata = notebook.get('metadata')
  for of, key in (('language_info', 'name'), ('kernelspec', 'language')):
    inner = metadata.get(of) if isinstance(metadata, Mapping) else None
    if isinstance(inner, Mapping) and isinstance(inner.get(key), str) and inner[key]:
      name = inner[key].lower()
      return 'python' if name == 'ipython' else name
  return 'python'


def _parts(notebook: Mapping, language: str) -> Iterator[str]:
  for cell in _cells(notebook):
    if not isinstance(cell, Mapping):
      raise FieldError('no notebook', 'a cell is no object')
    kind = cell.get('cell_type')
    text = _joined(cell.get('source', cell.get('input'))).strip('\n')
    if not text.strip():
      continue
    if kind == 'code':
      fence = '```' if '```' not in text else '````'
      yield f'{fence}{language}\n{text}\n{fence}'
    elif kind == 'heading':  # format 3
      level = cell.get('level')
      yield f'{"#" * (level if isinstance(level, int) else 1)} {text}'
    elif kind == 'markdown':
      yield text


def _joined(source: object) -> str:
  """A cell's text, which is kept as a string or as a list of lines."""
  if source is None:
    return ''
  lines = source if isinstance(source, list) else [source]
  if not all(isinstance(line, str) for line in lines):
    raise FieldError('no notebook', 'the text of a cell is no string')
  return ''.join(lines)
