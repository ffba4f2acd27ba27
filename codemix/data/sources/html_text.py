"""HTML of posts and pages as plain text; code keeps its lines."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_GAPS = ('', ' ', '\n', '\n\n')  # between two texts, from narrow to wide
_BLOCKS = (
  *('p', 'div', 'ul', 'ol', 'dl', 'table', 'blockquote', 'pre', 'hr', 'section', 'article', 'figure'),
  *('h1', 'h2', 'h3', 'h4', 'h5', 'h6'),
)
_GAP_OF_TAG = {
  **dict.fromkeys(_BLOCKS, '\n\n'),
  **dict.fromkeys(('li', 'tr', 'dt', 'dd'), '\n'),
  **dict.fromkeys(('td', 'th'), ' '),
}
_IGNORED = frozenset(('script', 'style', 'template'))


def html_to_text(html: str) -> str:
  """The text of HTML: paragraphs apart by an empty line, items by '- ', code as it stands.

  Code inside of a line is put between backticks. White space is collapsed outside of `<pre>`. Pictures are left out; of a link the words remain.
  """
  parser = _Parser()
  parser.feed(html)
  parser.close()
  return parser.text()


class _Parser(HTMLParser):

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self._parts: list[str] = []
    self._gap = ''  # to come before the next text
    self._in_item = False  # an item's '- ' waits for its text
    self._preformatted = self._ignored = 0

  def handle_starttag(self, tag: str, attrs) -> None:
    self._ignored += tag in _IGNORED
    if tag == 'br':
      self._gap = '\n\n' if '\n' in self._gap else '\n'
    elif tag == 'code' and not self._preformatted:
      self._write('`')
    self._widen(_GAP_OF_TAG.get(tag, ''))
    self._preformatted += tag == 'pre'
    if tag == 'li':
      self._write('- ')
      self._in_item = True

  def handle_endtag(self, tag: str) -> None:
    self._ignored = max(0, self._ignored - (tag in _IGNORED))
    self._preformatted = max(0, self._preformatted - (tag == 'pre'))
    if tag == 'code' and not self._preformatted:
      self._parts.append('`')
    self._widen(_GAP_OF_TAG.get(tag, ''))

  def handle_data(self, data: str) -> None:
    if self._ignored:
      return
    if self._preformatted:
      data = data.lstrip('\n') if self._gap else data
    else:
      data = re.sub(r'[ \t\r\n\f]+', ' ', data)
      if self._gap or self._in_item or not self._parts or self._parts[-1].endswith(' '):
        data = data.lstrip(' ')
    if data:
      self._write(data)

  def _widen(self, gap: str) -> None:
    if not self._in_item:  # the paragraph in an item begins right behind its '- '
      self._gap = max(self._gap, gap, key=_GAPS.index)

  def _write(self, text: str) -> None:
    if self._gap and self._parts:
      self._parts[-1] = self._parts[-1].rstrip()
      self._parts.append(self._gap)
    self._parts.append(text)
    self._gap, self._in_item = '', False

  def text(self) -> str:
    return ''.join(self._parts).strip()
