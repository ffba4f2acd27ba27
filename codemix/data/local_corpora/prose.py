"""Extracts the English prose of a docstring, a comment, a readme or a manual page.

Lines that the markup shows to be code, tables, fields or headings are dropped (reStructuredText,
Markdown, and the docstring conventions of NumPy, Google and Epytext). Of the remaining paragraphs,
those are kept whose words and characters have the statistics of English sentences.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Iterator

from codemix.data.local_corpora.sentences import (
  LEAST_CHARACTERS,
  is_prose,
  is_summary,
  whole_sentences,
)

_FENCE = re.compile(r'\s*(```|~~~)')
_RULER = re.compile(r'\s*([=\-~^"\'#*+`:._])\1{2,}\s*$')
_DOCTEST = re.compile(r'\s*(>>>|\.\.\. |In \[\d*\]:|Out\[\d*\]:|\$ )')
_FIELD_OR_DIRECTIVE = re.compile(r'\s*(:[\w ,*.`\\-]+:(\s|$)|@\w+|\.\.( |$))')
_ADMONITION = re.compile(
  r'\s*\.\. (note|warning|important|tip|caution|attention|hint|admonition)::\s*(?P<text>.*)$'
)
# Rulers, tables of Markdown and reStructuredText, and Markdown headings.
_BREAK = re.compile(_RULER.pattern + r'|\s*([|+]|=+ +=+|-+ +-+|#{1,6}\s)|[^|]*\|[^|]*\|')
_ITEM = re.compile(r'\s*([-*+•]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(?=\S)')
_LABEL = re.compile(r'\s*\**[A-Z][\w /-]{1,40}\**:\**$')
# Google's labels of sections of sentences; the other sections hold fields or code.
_PROSE_LABELS = re.compile(
  r'notes?|warnings?|caution|important|tip|description|details|background', re.IGNORECASE
)
# NumPy's sections that hold fields or code.
_FIELD_SECTIONS = re.compile(
  r'(other )?parameters|returns|yields|receives|raises|warns|attributes|methods|properties|'
  r'(keyword )?arguments|see also|references|examples?|usage|inputs|outputs',
  re.IGNORECASE,
)

# A pattern is tried only where the characters that it starts with occur.
_INLINE = [
  ('![', re.compile(r'!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])'), ''),  # Markdown images
  ('[', re.compile(r'\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])'), r'\1'),  # Markdown links
  ('<', re.compile(r'</?[a-zA-Z][^<>]*>|<!--.*?-->'), ''),  # HTML
  (':`', re.compile(r':[a-zA-Z][\w:.+-]*:`~?([^`<]*?)\s*(<[^`>]*>)?`'), r'\1'),  # Sphinx roles
  ('`', re.compile(r'`+([^`<]+?)\s*<[^`>]*>`__?'), r'\1'),  # reStructuredText links
  ('`', re.compile(r'``?([^`]+)``?_{0,2}'), r'\1'),  # literals
  (']_', re.compile(r'\[#?(\w+)\]_'), r'[\1]'),  # footnotes
  ('*', re.compile(r'(?<![\w*])\*{1,2}([^*\s]([^*]*[^*\s])?)\*{1,2}(?![\w*])'), r'\1'),  # strong
  ('_', re.compile(r'(?<!\w)_([^_\s][^_]*)_(?!\w)'), r'\1'),  # emphasis
  ('|', re.compile(r'\|(\w[\w ]*)\|'), r'\1'),  # substitutions
  (': ', re.compile(r'^[A-Z]{2,5}(\([^)]*\))?: '), ''),  # marks of comments, such as "NOTE: "
]


def paragraphs(text: str) -> list[str]:
  """The paragraphs of `text` that are English prose, each on one line, without its markup.

  The short summary line of a docstring is kept only where more prose follows it.
  """
  if len(text) < LEAST_CHARACTERS:  # as most comments are
    return []
  text = text.encode(errors='ignore').decode()  # an escape may spell half a surrogate pair
  lines = inspect.cleandoc(text).split('\n')
  whole = [whole_sentences(_plain(block)) for block in _blocks(_outside_code(lines))]
  found = [paragraph for paragraph in whole[1:] if is_prose(paragraph)]
  if whole and (is_prose(whole[0]) or (found and is_summary(whole[0]))):
    found.insert(0, whole[0])
  return found


def _outside_code(lines: list[str]) -> Iterator[str]:
  """The lines, '' in place of each that markup shows to be code, a directive or a field."""
  fenced = field_section = doctest = False
  skipped_indent: int | None = None  # what is indented more than this belongs to a skipped line
  in_paragraph = False
  for line, next_line in zip(lines, [*lines[1:], ''], strict=True):
    bare = line.strip()
    indent = len(line) - len(line.lstrip())
    kept = ''
    if skipped_indent is not None and bare and indent <= skipped_indent:
      skipped_indent = None
    doctest = bool(bare) and (doctest or bool(_DOCTEST.match(line)))  # with its output
    if _FENCE.match(line):
      fenced = not fenced
    elif fenced or doctest or not bare or skipped_indent is not None:
      pass
    elif _RULER.match(next_line) and not in_paragraph and not _RULER.match(line):
      field_section = bool(_FIELD_SECTIONS.fullmatch(bare))
    elif field_section:
      pass
    elif admonition := _ADMONITION.match(line):
      kept = admonition['text']
    elif _FIELD_OR_DIRECTIVE.match(line):
      skipped_indent = indent
    elif _LABEL.match(line) and not in_paragraph:
      if not _PROSE_LABELS.fullmatch(bare.strip('*:')):
        skipped_indent = indent
    else:
      kept = line
      if bare.endswith('::'):
        skipped_indent = indent
    in_paragraph = bool(kept.strip())
    yield kept


def _blocks(lines: Iterable[str]) -> Iterator[str]:
  """Paragraphs and list items, each joined to one line; rulers, tables and headings end them."""
  block: list[str] = []
  for line in lines:
    ends = not line or _BREAK.match(line)
    item = _ITEM.match(line)
    if block and (ends or item):
      yield ' '.join(block)
      block = []
    if not ends:
      block.append(line[item.end() if item else 0 :].strip())
  if block:
    yield ' '.join(block)


def _plain(text: str) -> str:
  """A paragraph without its inline markup."""
  text = html.unescape(text)
  for start, pattern, replacement in _INLINE:
    if start in text:
      text = pattern.sub(replacement, text)
  return ' '.join(text.split())
