"""The tokens of Python source, of which none is lost: joined, they are the source again.

Python's `tokenize` gives other tokens in other versions of Python (f-strings are one token up to 3.11, and many from
3.12 on), so that workers would write other bytes. `tests/data/python_source/test_tokens.py` compares the two.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal['name', 'number', 'string', 'operator', 'comment', 'space', 'newline']


class Token(NamedTuple):
  """A piece of source.

  Attributes:
    kind: 'space' includes a line break behind a backslash; 'newline' is any other one; 'string' has the prefix and the
      quotes, and is one token for an f-string too.
    text: as it is written.
  """

  kind: Kind
  text: str


class UnclosedString(ValueError):
  """A quote has no end: the source is not Python."""


_TOKEN = re.compile(
  r"""
    (?P<comment> \#[^\r\n]*+ )
  | (?P<space> (?: [ \t\f] | \\(?:\r\n?|\n) )++ )
  | (?P<newline> \r\n?|\n )
  | (?P<prefix> (?:[rR][bBfFtT]?|[bBfFtT][rR]?|[uU])? ) (?P<quote> "{3}|'{3}|"|' )
  | (?P<number>
        0[xX][0-9a-fA-F_]++ | 0[oO][0-7_]++ | 0[bB][01_]++
      | (?: [0-9][0-9_]*+ (?: \.[0-9_]*+ )?+ | \.[0-9][0-9_]*+ ) (?: [eE][+-]?[0-9][0-9_]*+ )?+ [jJlL]?+
    )
  | (?P<name> (?: [^\W\d] | [^\x00-\x7f] ) (?: \w | [^\x00-\x7f] )*+ )
  | (?P<operator> \*\*=?|//=?|>>=?|<<=?|!=|->|:=|[-+*/%@&|^=<>]=|\.{3}|. )
  """,
  re.VERBOSE | re.DOTALL,
)
_FIELDS = frozenset('fFtT')  # of the prefixes of strings with fields in braces
_BODY = {
  quote: re.compile(rf'(?: [^\\{quote[0]}{line}] | \\(?:\r\n|.) {more} )*+', re.VERBOSE | re.DOTALL)
  for quote, line, more in [
    ('"', r'\r\n', ''),
    ("'", r'\r\n', ''),
    ('"""', '', r'| "(?!"")'),
    ("'''", '', r"| '(?!'')"),
  ]
}
# What a backslash takes with it in an f-string. It does not take a brace, which begins a field all the same.
_ESCAPE = re.compile(r'\\(?: N\{[^}]*+\} | \r\n | [^{}] )?+', re.VERBOSE | re.DOTALL)
_RAW_ESCAPE = re.compile(r'\\(?: \r\n | [^{}] )?+', re.VERBOSE | re.DOTALL)
_OPENING, _CLOSING = '([{', ')]}'


def tokens(source: str) -> Iterator[Token]:
  """Yields the tokens of `source` in order.

  What is not Python gives tokens too, as far as its quotes are closed.

  Raises UnclosedString: a string does not end.
  """
  position = 0
  while position < len(source):
    kind, end = _next(source, position)
    yield Token(kind, source[position:end])
    position = end


def is_blank(token: Token) -> bool:
  """Whether a token is white space."""
  return token.kind in ('space', 'newline')


def joined(parts: Iterable[Token]) -> str:
  return ''.join(token.text for token in parts)


@functools.lru_cache(2**14)
def merges(first: str, second: str) -> bool:
  """Whether two tokens that touch each other are read as others, such as `=` and `=`, or `b` and `'x'`."""
  if first[-1] == second[0] == '.':  # a third point would make them an ellipsis
    return True
  try:
    return [token.text for token in tokens(first + second)] != [first, second]
  except UnclosedString:
    return True


def map_names(source: str, rename: Callable[[str], str]) -> str:
  """`source` with `rename` of each name in it, also of those in the fields of f-strings.

  Raises UnclosedString, as `tokens`.
  """
  return ''.join(_map_token(token, rename) for token in tokens(source))


def _map_token(token: Token, rename: Callable[[str], str]) -> str:
  if token.kind == 'name':
    return rename(token.text)
  if token.kind != 'string':
    return token.text
  match = _TOKEN.match(token.text)
  if not _has_fields(match):
    return token.text
  # The fields are found as when the string was read; between them the text stays.
  written, position = [], 0
  for begin, end in _fields(token.text, match)[1]:
    written += [token.text[position:begin], map_names(token.text[begin:end], rename)]
    position = end
  return ''.join([*written, token.text[position:]])


def _next(source: str, position: int) -> tuple[Kind, int]:
  """The kind of the token that begins at a place, and where it ends."""
  match = _TOKEN.match(source, position)
  kind = match.lastgroup
  if kind != 'quote':
    return kind, match.end()
  return 'string', _fields(source, match)[0] if _has_fields(match) else _plain_end(source, match)


def _has_fields(match: re.Match) -> bool:
  return not _FIELDS.isdisjoint(match['prefix'])


def _plain_end(source: str, match: re.Match) -> int:
  """Where a string without fields ends, from the match of its quote."""
  end = _BODY[match['quote']].match(source, match.end()).end()
  if not source.startswith(match['quote'], end):
    raise UnclosedString(f'the string {source[match.start():][:20]!r} has no end')
  return end + len(match['quote'])


def _fields(source: str, match: re.Match) -> tuple[int, list[tuple[int, int]]]:
  """Where a string with fields ends, and the spans of the expressions in its fields, from the match of its quote."""
  quote, position = match['quote'], match.end()
  escape = _ESCAPE if 'r' not in match['prefix'].lower() else _RAW_ESCAPE
  found: list[tuple[int, int]] = []
  while position < len(source):
    if source.startswith(quote, position):
      return position + len(quote), found
    character = source[position]
    if character == '\\':
      position = escape.match(source, position).end()
    elif source[position : position + 2] in ('{{', '}}'):
      position += 2
    elif character == '{':
      position = _field(source, position + 1, quote, found)
    elif character in '\r\n' and len(quote) == 1:
      break
    else:
      position += 1
  raise UnclosedString(f'the string {source[match.start():][:20]!r} has no end')


def _field(source: str, begin: int, quote: str, found: list[tuple[int, int]]) -> int:
  """Adds the spans of the expressions of the field that begins there, behind its brace; returns where it ends."""
  position, depth = begin, 0
  while position < len(source):
    character = source[position]
    if not depth and (character in '}:' or (character == '!' and source[position + 1 : position + 2] != '=')):
      found.append((begin, position))
      break
    kind, end = _next(source, position)
    # A ':=' outside of brackets is a colon with a format that begins with '='. Here it is part of brackets.
    depth += kind == 'operator' and (character in _OPENING) - (character in _CLOSING)
    position = end
  while position < len(source):  # a conversion, and a format that may have fields
    if source[position] == '}':
      return position + 1
    if source[position] == '{':
      position = _field(source, position + 1, quote, found)
    elif source.startswith(quote, position) or (source[position] in '\r\n' and len(quote) == 1):
      break
    else:
      position += 1
  raise UnclosedString('a field of an f-string has no end')
