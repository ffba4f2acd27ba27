"""The layout of Jupyter notebooks: prose and code in their order, without outputs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from codemix.checked import checked
from codemix.data.corpus.layouts.kernel_languages import language_of_kernel
from codemix.data.raw.fields import (
  FieldError,
  is_blank,
  labels,
  needed,
  sets_aside,
  string,
  value,
)
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record

_PROSE = ('markdown', 'text', 'html', 'rst', 'plaintext')  # 'text' in format 1; Jupyter reads all as markdown
_TEXT_OF_CELL = ('source', 'input', 'code', 'text')  # by the formats, from the newest to the oldest
_LINE_ENDS = ('\n', '\r', '\v', '\f', '\x1c', '\x1d', '\x1e', '\x85', '\u2028', '\u2029')  # of str.splitlines


@dataclasses.dataclass(frozen=True)
@checked
class Notebook(RowParser):
  """The cells of an `.ipynb`: markdown as it stands, code between ``` with its language.

  For files (`WholeFiles(include=('*.ipynb',))`), and for parquet or JSON lines with a column that
  holds the notebook. Formats 1 to 4 of Jupyter. Raw cells are dropped with the outputs.

  The language is what the notebook states: for a cell in the cell, else in `language_info`, in
  `kernelspec`, or by the name of its kernel ('ir' is R). Format 4 has no default for it, so a
  notebook without any of these has none; in the formats 1 to 3 the default is Python.

  Attributes:
    field: the notebook, as JSON text or as an object; '' where the row itself is one.
    source, id: fields, as in `Text`.
    language: of all documents; '' for that of each notebook.
  """

  stable_name, version = 'notebook', 2

  field: str = 'text'
  source: str | None = None
  id: str | None = None
  language: str = ''

  def needed_fields(self) -> tuple[str, ...] | None:
    return needed(self.field, source=self.source, id=self.id) if self.field else None

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    if self.field and is_blank(row, self.field):
      raise FieldError('empty notebook', expected=True)
    notebook = self._notebook(row)
    stated = _stated_language(notebook)
    cells = list(_written(notebook, stated))
    if not cells:
      raise FieldError('empty notebook', expected=True)
    language = self.language or stated or _only(language for _, language in cells)
    text = '\n\n'.join(text for text, _ in cells)
    return Record(text, language=language, **labels(row, source=self.source, id=self.id))

  def _notebook(self, row: Mapping) -> Mapping:
    found = value(row, self.field) if self.field else row
    if not isinstance(found, Mapping):
      try:
        found = json.loads(string(row, self.field).removeprefix('\ufeff'))
      except (ValueError, RecursionError) as error:
        raise FieldError('not JSON', str(error)[:200]) from None
    if not isinstance(found, Mapping) or not isinstance(_cells(found), list):
      raise FieldError('not a notebook', 'it has no list of cells')
    return found


def _cells(notebook: Mapping) -> object:
  sheets = notebook.get('worksheets')
  if isinstance(sheets, list):  # formats 2 and 3
    cells = [sheet.get('cells') for sheet in sheets if isinstance(sheet, Mapping)]
    return [cell for of_sheet in cells if isinstance(of_sheet, list) for cell in of_sheet]
  cells = notebook.get('cells')
  return [] if cells is None and 'nbformat' in notebook else cells


def _stated_language(notebook: Mapping) -> str:
  """The language that the notebook states as a whole, in small letters; '' where it states none."""
  metadata = _mapping(notebook, 'metadata')
  kernel = _kernel(metadata)
  databricks = _mapping(metadata, 'application/vnd.databricks.v1+notebook')
  for name in (
    _mapping(metadata, 'language_info').get('name'),
    kernel.get('language'),
    databricks.get('language'),
    metadata.get('language'),  # format 3
  ):
    if named := _named(name):
      return named
  names = [kernel[key] for key in ('name', 'display_name') if isinstance(kernel.get(key), str)]
  return next(filter(None, map(language_of_kernel, names)), '')


def _kernel(metadata: Mapping) -> Mapping:
  return _mapping(metadata, 'kernelspec') or _mapping(metadata, 'kernel_info')


def _default_language(notebook: Mapping) -> str:
  """Python where a notebook of a format before 4 names no kernel: those formats were IPython's."""
  if _kernel(_mapping(notebook, 'metadata')):
    return ''
  number = notebook.get('nbformat')
  if number is None and 'worksheets' not in notebook:  # format 1 wrote no number; its code cells hold `code`
    return 'python' if any(isinstance(cell, Mapping) and 'code' in cell for cell in _cells(notebook)) else ''
  return 'python' if 'worksheets' in notebook or (isinstance(number, int) and number < 4) else ''


def _language_of_cell(cell: Mapping, stated: str) -> str:
  """The language that a cell states for itself: in the metadata of .NET and VS Code, and in formats 2 and 3."""
  metadata = _mapping(cell, 'metadata')
  polyglot = _mapping(metadata, 'polyglot_notebook').get('kernelName')
  dotnet = _mapping(metadata, 'dotnet_interactive').get('language')
  code = _mapping(metadata, 'vscode').get('languageId')
  if own := next(filter(None, map(_named, (polyglot, dotnet, code))), ''):
    return own
  old = _named(cell.get('language'))
  # IPython wrote 'python' into the cells of all kernels' notebooks.
  return '' if old == 'python' and stated else old


def _named(name: object) -> str:
  """A language's name in small letters and on one line; Python has it from IPython."""
  if not isinstance(name, str):
    return ''
  name = ' '.join(name.replace('`', '').lower().split())
  return 'python' if re.fullmatch(r'(i?python)[0-9.]*', name) else name


def _mapping(found: Mapping, key: str) -> Mapping:
  inner = found.get(key)
  return inner if isinstance(inner, Mapping) else {}


def _only(languages: Iterator[str]) -> str:
  """The one language of all cells that have one; '' where there are several."""
  distinct = {language for language in languages if language}
  return distinct.pop() if len(distinct) == 1 else ''


def _written(notebook: Mapping, stated: str) -> Iterator[tuple[str, str]]:
  """(text, language of code) of each cell that has a text."""
  of_notebook = stated or _default_language(notebook)
  for cell in _cells(notebook):
    if not isinstance(cell, Mapping):
      raise FieldError('not a notebook', 'a cell is not an object')
    kind, text = _kind(cell), _text(cell).strip('\n')
    if not text.strip() or kind == 'raw':
      continue
    if kind == 'code':
      language = _language_of_cell(cell, stated) or of_notebook
      yield fenced(text, language), language
    elif kind == 'heading':  # formats 2 and 3
      level = cell.get('level')
      hashes = '#' * (min(max(level, 1), 6) if isinstance(level, int) else 1)
      yield f'{hashes} {" ".join(text.split())}', ''
    else:
      yield text, ''


def _kind(cell: Mapping) -> str:
  """'code', 'heading', 'raw' or 'prose'."""
  kind = cell.get('cell_type')
  if kind is None:
    kind = 'code' if any(key in cell for key in ('code', 'input', 'outputs', 'execution_count')) else 'markdown'
  if kind in _PROSE:
    return 'prose'
  if kind not in ('code', 'heading', 'raw'):
    raise FieldError('not a notebook', f"a cell is of the type {str(kind)[:40]!r}")
  return kind


def fenced(code: str, language: str) -> str:
  """A fenced code block of CommonMark: its fence is longer than any run of backticks in the code."""
  longest = max(map(len, re.findall('`+', code)), default=0)
  fence = '`' * max(3, longest + 1)
  return f'{fence}{language}\n{code}\n{fence}'


def _text(cell: Mapping) -> str:
  source = next((cell[key] for key in _TEXT_OF_CELL if cell.get(key) is not None), '')
  lines = source if isinstance(source, list) else [source]
  if not all(isinstance(line, str) for line in lines):
    raise FieldError('not a notebook', 'the text of a cell is not a string')
  return _joined(lines)


def _joined(lines: Sequence[str]) -> str:
  """The text of a list of lines, with or without their line ends.

  Format 4 writes the ends, format 2 leaves them out, and of format 3 there are both kinds, as there
  are of format 4 by other programs. In a list that has ends, an empty string is not a line.
  """
  with_ends = any(line.endswith(_LINE_ENDS) for line in lines)
  inner = (line if line.endswith(_LINE_ENDS) or (with_ends and not line) else f'{line}\n' for line in lines[:-1])
  return ''.join([*inner, *lines[-1:]])
