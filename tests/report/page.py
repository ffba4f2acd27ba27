"""A written HTML page, taken apart for a test."""

from __future__ import annotations

import html.parser


class Page(html.parser.HTMLParser):
  """Collects tags, attributes and text, and fails on tags that do not nest."""

  VOID = {'meta', 'br', 'link', 'img', 'hr', 'input', 'wbr'}

  def __init__(self, text: str):
    super().__init__()
    self.open, self.attributes, self.tags, self.words = [], [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  def values(self, name: str) -> list[str]:
    return [value for key, value in self.attributes if key == name]
