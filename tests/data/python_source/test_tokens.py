"""Tokens lose nothing, and are those of Python's own tokenizer."""

import io
import random
import re
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.python_source.tokens import (
  UnclosedString,
  is_blank,
  joined,
  map_names,
  merges,
  tokens,
)
from tests.data.python_source.programs import library_files, library_source, programs

NOT_TOKENS = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def pythons_tokens(source):
  """The tokens of `tokenize`, with an f-string as one, which it is up to Python 3.11."""
  lines = source.split('\n')
  depth, start, found = 0, None, []
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    kind = tokenize.tok_name[token.type]
    if kind.endswith('STRING_START'):
      start = start if depth else token.start
      depth += 1
    elif kind.endswith('STRING_END'):
      depth -= 1
      if not depth:
        (row, column), (last, end) = start, token.end
        found.append('\n'.join([*lines[row - 1 : last - 1], lines[last - 1][:end]])[column:])
    elif not depth and token.type not in NOT_TOKENS and token.string.strip():
      found.append(token.string)
  return found


def assert_the_tokens_are_pythons(source):
  found = list(tokens(source))
  assert joined(found) == source
  assert [token.text for token in found if not is_blank(token)] == pythons_tokens(source)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_tokens_of_real_programs_are_pythons(seed):
  assert_the_tokens_are_pythons(library_source(random.Random(seed).choice(library_files())))


@pytest.mark.slow
def test_the_tokens_of_the_whole_library_are_pythons():
  for path in library_files():
    assert_the_tokens_are_pythons(library_source(path))


@given(programs())
@settings(max_examples=100, deadline=None)
def test_the_tokens_of_any_program_are_pythons(lines):
  assert_the_tokens_are_pythons('\n'.join(lines) + '\n')


@given(st.text(alphabet='ab1.=*"\'#\\ \n\r\t{}fr:!', max_size=40))
@settings(max_examples=500)
def test_of_any_text_nothing_is_lost(text):
  try:
    assert joined(tokens(text)) == text
    assert map_names(text, lambda name: name) == text
  except UnclosedString:
    assert '"' in text or "'" in text


@pytest.mark.parametrize(
  ('source', 'expected'),
  [
    ('x=0xfe+1e-5j-1_0.5e3', ['x', '=', '0xfe', '+', '1e-5j', '-', '1_0.5e3']),
    ('a.b...c->d:=e', ['a', '.', 'b', '...', 'c', '->', 'd', ':=', 'e']),
    ('f"{x["a"]}" rb"\\"" u\'é\'', ['f"{x["a"]}"', 'rb"\\""', "u'é'"]),  # PEP 701: the quotes are of one kind
    ('f"{f"{f"{1}"}"}"', ['f"{f"{f"{1}"}"}"']),
    (r'f"\{x}" rf"\{x}" f"\N{DASH}{x}" "\N{DASH}"', [r'f"\{x}"', r'rf"\{x}"', r'f"\N{DASH}{x}"', r'"\N{DASH}"']),
    ('f"{{x}}{y!r:{w}}{a != b}{c:=5}"', ['f"{{x}}{y!r:{w}}{a != b}{c:=5}"']),
    ("'''a'b''c\\''''", ["'''a'b''c\\''''"]),
    ('"a\\\r\nb" "a\\\nb"', ['"a\\\r\nb"', '"a\\\nb"']),
    ('x\U000e0100 = 1', ['x\U000e0100', '=', '1']),
  ],
)
def test_small_sources(source, expected):
  found = list(tokens(source))
  assert joined(found) == source and [token.text for token in found if not is_blank(token)] == expected


@pytest.mark.parametrize('source', ['"', "x = 'a\n'", '"""a""', 'f"{x"', "f'{x:\n}'", 'f"""{', 'f"{x!r"', "f'a\n'"])
def test_a_string_without_an_end_is_refused(source):
  with pytest.raises(UnclosedString):
    list(tokens(source))


@pytest.mark.parametrize(
  ('source', 'expected'),
  [
    ('a.b(c=d)  # e', 'A.B(C=D)  # e'),
    ('f"a{b!r:>{c}d}{{e}}{f"{g}h"}" "{i}" rf"{j:x}"', 'f"a{B!r:>{C}d}{{e}}{f"{G}h"}" "{i}" rf"{J:x}"'),
    ('f"{a[\'b\']}{c:d}{e=}" + 0x1f', 'f"{A[\'b\']}{C:d}{E=}" + 0x1f'),
    ("f'''{\n a # b\n}'''", "f'''{\n A # b\n}'''"),
  ],
)
def test_names_are_found_wherever_they_stand(source, expected):
  assert map_names(source, str.upper) == expected


@given(st.lists(st.sampled_from(['a', '1', '.5', "'s'", 'b"s"', '.', '=', '*', '-', '>', '<', '(', ':', '...', "''", '0x1']), min_size=2))
def test_what_does_not_merge_stays_apart(parts):
  text = parts[0]
  for before, part in zip(parts, parts[1:], strict=False):
    text += ' ' * merges(before, part) + part
  assert [token.text for token in tokens(text) if not is_blank(token)] == parts
  assert not re.search('  ', text)
