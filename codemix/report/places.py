"""What a file of a report says, as (place, value) in order: cells of a CSV, of the tables of a page and of Markdown, texts, numbers of figures.

A place is for people: 'row balanced, 1, text, column bits_per_byte'. Drawings, which repeat numbers as lines, are kept apart.
"""

from __future__ import annotations

import csv
import html.parser
import io
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import NamedTuple

# The columns that name a row.
_KEYS = {
  'results.csv': ('recipe', 'position', 'source'),
  'scores.csv': ('recipe', 'position', 'step', 'task', 'score'),
  'claims.csv': ('claim',),
}
_DRAWING = 'drawing'
_VOID = {'meta', 'br', 'link', 'img', 'hr', 'input', 'wbr', 'col', 'source'}
_HEADINGS = ('h1', 'h2', 'h3', 'summary')
_SHOWN = 60  # characters of a name


class Said(NamedTuple):
  """A value at a place; `drawn` if it is a part of a picture or of the style, and no text or number."""

  place: str
  value: str
  drawn: bool = False


def places_of(name: str, text: str) -> list[Said]:
  """What a file of a report says.

  Args:
    name: of the file.
  """
  kind: Callable[[str, str], Iterator[Said]] = {'csv': _of_csv, 'html': _of_page, 'md': _of_markdown}.get(name.rpartition('.')[2], _of_lines)
  return list(kind(name, text))


def _of_csv(name: str, text: str) -> Iterator[Said]:
  lines = list(csv.reader(io.StringIO(text, newline='')))
  header = lines[0] if lines else []
  keys = [header.index(key) for key in _KEYS.get(name, ()) if key in header] or [0]
  yield Said('the header', ','.join(header))
  for number, line in enumerate(lines[1:], 2):
    row = ', '.join(line[key][:_SHOWN] for key in keys if key < len(line))
    if len(line) != len(header):
      yield Said(f'line {number}', ','.join(line))
      continue
    yield from (Said(f'row {row}, column {column}', value) for column, value in zip(header, line, strict=True))
  # The same cells written otherwise, such as between quotes, or without the last end of a line.
  yield Said('its quotes and ends of lines', re.sub(r'[^",\r\n]', '', text), drawn=True)


def _of_lines(name: str, text: str) -> Iterator[Said]:
  yield from (Said(f'line {number}', line) for number, line in enumerate(text.split('\n'), 1))


def _of_markdown(name: str, text: str) -> Iterator[Said]:
  heading, header, before = '', [], ''
  for number, line in enumerate(text.split('\n'), 1):
    if line.startswith('#'):
      heading = line.lstrip('# ')
    if not line.startswith('|'):
      yield Said(f"'{heading[:_SHOWN]}', line {number}", line)
    else:
      cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
      if not before.startswith('|'):
        header = cells
      for index, cell in enumerate(cells):
        column = header[index] if index < len(header) else str(index + 1)
        yield Said(f"'{heading[:_SHOWN]}', line {number}, row {cells[0][:_SHOWN]}, column {column[:_SHOWN]}", cell)
    before = line


def _of_page(name: str, text: str) -> Iterator[Said]:
  page = _Page()
  page.feed(text)
  page.close()
  return iter(page.said)


class _Page(html.parser.HTMLParser):
  """Collects what a page says, with the section, table, row and column that each text is in."""

  def __init__(self):
    super().__init__()
    self.said: list[Said] = []
    self._open: list[str] = []
    self._heading = self._caption = self._row = self._column = ''

  def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    values = {key: value or '' for key, value in attrs}
    if tag in ('table', 'tr'):
      self._row = self._column = ''
    if tag == 'table':
      self._caption = ''
    if tag in ('td', 'th'):
      self._column = values.get('data-label', '')
    if tag in _HEADINGS:
      self._heading = ''
    self._attributes(tag, values)
    if tag not in _VOID:
      self._open.append(tag)

  def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self._attributes(tag, {key: value or '' for key, value in attrs})

  def handle_endtag(self, tag: str) -> None:
    if tag in self._open:
      while self._open.pop() != tag:
        pass

  def handle_data(self, data: str) -> None:
    shown = ' '.join(data.split())
    if any(tag in _HEADINGS for tag in self._open):
      self._heading += f' {shown}' if self._heading else shown
    elif 'caption' in self._open:
      self._caption += shown
    elif 'th' in self._open and 'tbody' in self._open:
      self._row += f' {shown}' if self._row and shown else shown
    if shown:
      self.said.append(Said(self._place(), shown, 'style' in self._open or 'svg' in self._open or 'script' in self._open))

  def handle_decl(self, decl: str) -> None:
    self.said.append(Said('the page', decl, True))

  def handle_comment(self, data: str) -> None:
    self.said.append(Said('a comment of the page', data, True))

  def _attributes(self, tag: str, values: dict[str, str]) -> None:
    link = values.get('href', '')
    if link.startswith('data:text/csv'):
      figure = values.get('download', 'a figure')
      numbers = urllib.parse.unquote(link.partition(',')[2])
      self.said += [said._replace(place=f'the numbers of the figure {figure}, {said.place}') for said in _of_lines('', numbers)]
      values = {key: value for key, value in values.items() if key != 'href'}
    drawn = 'svg' in (tag, *self._open) or link.startswith('data:image') or not any(key.startswith(('data-', 'aria-')) for key in values)
    self.said.append(Said(f'{self._place()}, <{tag}>', repr(sorted(values.items())), drawn))

  def _place(self) -> str:
    parts = [f"'{self._heading[:_SHOWN]}'" if self._heading else 'the top of the page']
    if 'table' in self._open:
      parts += [f"table '{self._caption[:_SHOWN]}'"] if self._caption else ['a table']
      parts += [f'row {self._row[:_SHOWN]}'] if self._row else []
      parts += [f'column {self._column[:_SHOWN]}'] if self._column else []
    return ', '.join(parts)
