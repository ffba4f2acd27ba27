"""Finds docstrings and blocks of comments in Python source.

`ast` would find the docstrings too, at a tenth of the speed. A string that is taken for a docstring
by mistake (in a dictionary, say) is kept only if it is prose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

# Every comment and string, so that quotes inside of them are not taken for new strings.
# Loops are unrolled ("normal* (special normal*)*"), which keeps them free of backtracking.
COMMENT_OR_STRING = re.compile(
  r'''
  \#[^\n]*
  | (?P<prefix>\b[a-zA-Z]{1,2})?
    (?:
      """(?P<double>[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*)"""
    | \'\'\'(?P<single>[^'\\]*(?:(?:\\.|'(?!\'\'))[^'\\]*)*)\'\'\'
    | "[^"\\\n]*(?:\\.[^"\\\n]*)*"
    | '[^'\\\n]*(?:\\.[^'\\\n]*)*'
    )
  ''',
  re.VERBOSE | re.DOTALL,
)
_COMMENT_SIGN = re.compile(r'#+[:!]?')


def passages(source: str) -> Iterator[str]:
  """Yields, in order, the docstrings and the blocks of full-line comments of Python source.

  A docstring is taken to be a triple-quoted string that opens the file or follows a colon.
  """
  block: list[str] = []
  opens_block = True  # a string at the start of the file is the module's docstring
  end = 0
  for match in COMMENT_OR_STRING.finditer(source):
    between = source[end : match.start()]
    end = match.end()
    code = between.strip()
    is_comment = match[0].startswith('#')
    if block and not (is_comment and not code and between.count('\n') == 1):
      yield '\n'.join(block)
      block = []
    if code:
      opens_block = code.endswith(':')
    if is_comment:
      _, newline, before = between.rpartition('\n')
      if not before.strip() and (newline or match.start() == len(between)):
        block.append(_COMMENT_SIGN.sub('', match[0], count=1))
      continue
    body = match['double'] if match['double'] is not None else match['single']
    if opens_block and body is not None:
      yield _evaluate(body, match['prefix'] or '')
    opens_block = False
  if block:
    yield '\n'.join(block)


def _evaluate(body: str, prefix: str) -> str:
  """The value of a triple-quoted literal; where Python refuses an escape, the body as written."""
  if '\\' not in body or 'r' in prefix.lower():
    return body
  quotes = "'''" if '"""' in body or body.endswith('"') else '"""'
  try:
    return ast.literal_eval(f'{quotes}{body}{quotes}')
  except (SyntaxError, ValueError):
    return body
