"""Divides long texts for a tokenizer, so that memory is bounded and every core has work.

The library of the BPE keeps about 130 bytes for each byte of text until the
ids are taken: 8 GB for the longest line that `JsonLines` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

GROUP_CHARACTERS = 2**21  # encoded at a time
PART_CHARACTERS = 2**18
_LINE_END = re.compile(r'\n(?=\S)')


def may_divide(definition: dict, pattern: str) -> bool:
  """Whether the parts of `divide` have the ids of the whole text, by a `tokenizer.json`, parsed.

  They have where `pattern` (`bpe.PRE_TOKENIZATION`) cuts the text: a match that
  includes a line end with no white space after it ends there, since alternatives
  that end in line ends come before those of other white space, and none looks
  back. Only a token that was added by hand could reach over it.
  """
  parts = (definition.get('pre_tokenizer') or {}).get('pretokenizers', [])
  return (
    [part['type'] for part in parts] == ['Split', 'ByteLevel']
    and parts[0]['pattern'] == {'Regex': pattern}
    and (parts[0]['behavior'], parts[0]['invert']) == ('Isolated', False)
    and not (parts[1]['add_prefix_space'] or parts[1].get('use_regex', True) or definition.get('normalizer'))
    and all(token['special'] for token in definition.get('added_tokens', []))
  )


def divide(text: str) -> list[str]:
  """A long text in parts, each of which begins after a line end, at a character that is not white space."""
  parts, begin = [], 0
  while match := _LINE_END.search(text, begin + PART_CHARACTERS):
    parts.append(text[begin : match.end()])
    begin = match.end()
  return [*parts, text[begin:]]


def groups(parts: Iterable[str]) -> Iterator[list[str]]:
  """Groups of consecutive parts of GROUP_CHARACTERS or a little more."""
  group, characters = [], 0
  for part in parts:
    group.append(part)
    characters += len(part)
    if characters >= GROUP_CHARACTERS:
      yield group
      group, characters = [], 0
  if group:
    yield group
