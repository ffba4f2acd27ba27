"""HTML of posts and pages as plain text; code keeps its lines."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

_GAPS = ('', ' ', '\n', '\n\n')  # between two texts, from narrow to wide
_BLOCKS = (
  *('p', 'div', 'ul', 'ol', 'dl', 'table', 'blockquote', 'pre', 'hr', 'section', 'article', 'figure'),
  *('header', 'footer', 'main', 'nav', 'aside', 'address', 'center', 'form', 'fieldset', 'details', 'title'),
  *('h1', 'h2', 'h3', 'h4', 'h5', 'h6'),
)
_GAP_OF_TAG = {
  **dict.fromkeys(_BLOCKS, '\n\n'),
  **dict.fromkeys(('li', 'tr', 'dt', 'dd', 'caption', 'figcaption', 'summary', 'legend', 'option'), '\n'),
  **dict.fromkeys(('td', 'th'), ' '),
}
_IGNORED = frozenset(('script', 'style', 'template'))
_LISTS = ('ul', 'ol')
_RAISED = {'sup': '^', 'sub': '_'}  # as TeX and most plain text write them
_MOST_LEVELS = 32  # of what is nested: deeper, each level would be copied again for all those around it
_BARE = re.compile(r'[+\u2212-]?\w+|\[[^\[\]]*\]|\([^()]*\)')  # a raised text that needs no brackets of its own


def html_to_text(html: str) -> str:
  """The text of HTML: paragraphs apart by an empty line, code as it stands.

  Items of lists begin with '- ' or their number, two spaces further in for each list around theirs.
  Code inside of a line is put between backticks, more of them where it holds some. `2<sup>3</sup>`
  is 2^3, `x<sub>i+1</sub>` x_(i+1). White space is collapsed outside of `<pre>`. Pictures are left
  out; of a link the words remain.
  """
  parser = _Parser()
  parser.feed(html)
  parser.close()
  return parser.text()


@dataclasses.dataclass
class _Span:
  """An open `<code>`, `<sup>` or `<sub>`: its text begins at part number `begin`.

  Attributes:
    attached: something stands right before it.
  """

  tag: str
  begin: int
  attached: bool


class _Parser(HTMLParser):

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self._parts: list[str] = []
    self._gap = ''  # to come before the next text
    self._mark = ''  # of a list's item, which waits for its text
    self._lists: list[int | None] = []  # the open lists: the number of the next item, None for those without
    self._spans: list[_Span] = []
    self._preformatted = self._ignored = 0

  def handle_starttag(self, tag: str, attrs) -> None:
    self._ignored += tag in _IGNORED
    if tag == 'br':
      self._break()
    elif tag in _RAISED or (tag == 'code' and not self._preformatted):
      self._open(tag)
    self._widen(tag, nested=bool(self._lists))
    self._preformatted += tag == 'pre'
    if tag in _LISTS:
      self._lists.append(_whole_number(dict(attrs).get('start'), 1) if tag == 'ol' else None)
    elif tag == 'li':
      self._mark = self._next_mark(attrs)

  def handle_endtag(self, tag: str) -> None:
    self._ignored = max(0, self._ignored - (tag in _IGNORED))
    if tag in _RAISED or (tag == 'code' and not self._preformatted):
      self._close(tag)
    if tag in ('li', *_LISTS):
      self._mark = ''  # of an item without text
    self._widen(tag, nested=len(self._lists) > 1)
    self._preformatted = max(0, self._preformatted - (tag == 'pre'))
    if tag in _LISTS and self._lists:
      self._lists.pop()

  def handle_data(self, data: str) -> None:
    if self._ignored:
      return
    if self._preformatted:
      data = data.lstrip('\n') if self._gap or not self._parts else data
    else:
      data = re.sub(r'[ \t\r\n\f]+', ' ', data)
      if self._gap or self._mark or not self._parts or self._parts[-1].endswith((' ', '\n')):
        data = data.lstrip(' ')
    if data:
      self._write(data)

  def _break(self) -> None:
    if self._preformatted:
      self._write('\n')
    else:
      self._gap = '\n\n' if '\n' in self._gap else '\n'

  def _widen(self, tag: str, nested: bool) -> None:
    gap = _GAP_OF_TAG.get(tag, '')
    if gap:
      self._close_all()
    if nested and tag in _LISTS:
      gap = '\n'
    if not self._mark:  # the paragraph in an item begins right behind its mark
      self._gap = max(self._gap, gap, key=_GAPS.index)

  def _next_mark(self, attrs) -> str:
    indentation = '  ' * min(len(self._lists) - 1, _MOST_LEVELS)
    if not self._lists or self._lists[-1] is None:
      return f'{indentation}- '
    number = _whole_number(dict(attrs).get('value'), self._lists[-1])
    self._lists[-1] = number + 1
    return f'{indentation}{number}. '

  def _write(self, text: str) -> None:
    if self._gap and self._parts:
      self._parts[-1] = self._parts[-1].rstrip()
      self._parts.append(self._gap)
    self._parts.append(self._mark + text)
    self._gap = self._mark = ''

  def _open(self, tag: str) -> None:
    before = self._parts[-1] if self._parts else ''
    attached = not (self._gap or self._mark) and bool(before) and not before[-1].isspace()
    self._write('')  # the gap and the mark stand before it
    if len(self._spans) < _MOST_LEVELS:
      self._spans.append(_Span(tag, len(self._parts), attached))

  def _close(self, tag: str) -> None:
    """Closes the innermost span of this tag, and those inside of it that were left open."""
    if tag in [span.tag for span in self._spans]:
      while self._end(self._spans.pop()) != tag:
        pass

  def _close_all(self) -> None:
    while self._spans:
      self._end(self._spans.pop())

  def _end(self, span: _Span) -> str:
    text = ''.join(self._parts[span.begin :])
    if text.strip():
      self._parts[span.begin :] = [_quoted(text) if span.tag == 'code' else _raised(text, span)]
    return span.tag

  def text(self) -> str:
    self._close_all()
    return ''.join(self._parts).strip('\n').rstrip()


def _quoted(code: str) -> str:
  """Code between backticks, as CommonMark has it."""
  longest = max(map(len, re.findall('`+', code)), default=0)
  quotes = '`' * (longest + 1 if longest else 1)
  # A backtick at an edge would be one of the quotes.
  edge = ' ' if code.startswith('`') or code.endswith('`') else ''
  return f'{quotes}{edge}{code}{edge}{quotes}'


def _raised(text: str, span: _Span) -> str:
  """What stands above or below the line; small print by itself stays as it is."""
  if not span.attached:
    return text
  inner = text.strip()
  behind = ' ' if text[-1].isspace() else ''
  return _RAISED[span.tag] + (inner if _BARE.fullmatch(inner) else f'({inner})') + behind


def _whole_number(written: str | None, otherwise: int) -> int:
  return int(written) if written and re.fullmatch(r'-?[0-9]{1,9}', written) else otherwise
