"""Code without documentation is the same program, and has none left."""

import ast
import io
import random
import sys
import textwrap
import tokenize
import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.python_source.documentation import documentation_of, without_documentation
from tests.data.python_source.programs import library_files, library_source, programs

SUITES = ('body', 'orelse', 'finalbody')
nested_quotes = pytest.mark.skipif(sys.version_info < (3, 12), reason='PEP 701 is of Python 3.12')


def is_string(statement):
  value = getattr(statement, 'value', None)
  return (
    isinstance(statement, ast.Expr)
    and isinstance(value, ast.Constant)
    and isinstance(value.value, str)
  )


def program(source):
  """The syntax tree of a program, as text, with each suite rid of its strings."""
  with warnings.catch_warnings(action='ignore'):
    tree = ast.parse(source)
  for node in ast.walk(tree):
    for field in SUITES:
      suite = getattr(node, field, None)
      if isinstance(suite, list) and any(map(is_string, suite)):
        kept = [statement for statement in suite if not is_string(statement)]
        setattr(node, field, kept or ([] if node is tree else [ast.Pass()]))
  return ast.dump(tree)


def comments(source):
  """The comments of a program outside of f-strings."""
  depth = 0
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    name = tokenize.tok_name[token.type]
    depth += name.endswith('STRING_START') - name.endswith('STRING_END')
    if token.type == tokenize.COMMENT and not depth:
      yield token.string


def letters(text):
  return Counter(''.join(text.split()))


def assert_only_documentation_is_gone(source):
  bare = without_documentation(source)
  assert program(bare) == program(source)
  assert not list(comments(bare))
  assert not any(
    is_string(statement)
    for node in ast.walk(ast.parse(bare))
    for field in SUITES
    if isinstance(suite := getattr(node, field, None), list)
    for statement in suite
  )
  assert without_documentation(bare) == bare
  assert_nothing_is_lost(source, bare)


def assert_nothing_is_lost(source, bare):
  """The program and its documentation together have every letter of the source, and no other but those of `pass`."""
  both = letters(bare) + letters(''.join(documentation_of(source)))
  assert (both - letters(source)).keys() <= set('pas')
  # A semicolon goes with the string before it, and so do the brackets around a string, or a backslash behind it.
  assert (letters(source) - both).keys() <= set(';\\')


def check(source, expected):
  source, expected = textwrap.dedent(source).lstrip('\n'), textwrap.dedent(expected).lstrip('\n')
  assert without_documentation(source) == expected
  assert_only_documentation_is_gone(source)


def test_docstrings_and_comments_go_and_the_layout_stays():
  check(
    '''
    #!/usr/bin/env python
    # -*- coding: utf-8 -*-
    # A licence.

    """The module."""

    import os  # for paths

    # Two blank lines come next.


    @decorate  # a decorator
    class A(B):
      """Docs.

      More docs, with 'quotes' and # a sign.
      """

      x = 1
      """What x is."""

      # About f.
      def f(self):

        """Docs."""

        return '# not a comment'  # one


      async def g(self):
        r"""Only docs."""
    ''',
    """
    import os


    @decorate
    class A(B):
      x = 1

      def f(self):
        return '# not a comment'


      async def g(self):
        pass
    """,
  )


@pytest.mark.parametrize(
  ('source', 'expected'),
  [
    ('def f(): "doc"', 'def f(): pass\n'),
    ('def f(): "doc"; return 1', 'def f(): return 1\n'),
    ('class A: "doc"; "more"; x = 1', 'class A: x = 1\n'),
    ('"doc"; x = 1\n', 'x = 1\n'),
    ('"doc";\nx = 1\n', 'x = 1\n'),
    ('"doc" ; \\\n  x = 1\n', 'x = 1\n'),
    ('"doc" \\\n\nx = 1\n', 'x = 1\n'),
    ('"doc" \\\n"goes on" # comment\nx = 1\n', 'x = 1\n'),
    ('("doc"  # comment\n "goes on")\nx = 1\n', 'x = 1\n'),
    ('"""doc\n"""; x = """#\n\n\n\n"""\n', 'x = """#\n\n\n\n"""\n'),
    ('x = 1; "doc"\n', 'x = 1;\n'),
    ('x = 1 \\\n# comment\ny = 2\n', 'x = 1 \\\n\ny = 2\n'),
    ('x = 1 \\\n# comment', 'x = 1 \\\n\n'),
    ('x = 1; \\\n"doc"\ny = 2\n', 'x = 1; \\\n\ny = 2\n'),
    ('x = [  # comment\n  1,\n  # comment\n\n  2]\n', 'x = [\n  1,\n\n  2]\n'),
    ('é = "é"; "doc é"; y = "#é"  # é\n', 'é = "é"; y = "#é"\n'),
    ('x: "not a docstring" = 1\n', 'x: "not a docstring" = 1\n'),
    ('b"no string"\nf"nor this {x}"\n', 'b"no string"\nf"nor this {x}"\n'),
    ('x = "a" "b"  # c\n', 'x = "a" "b"\n'),
    ('if x:\n  "off"\nelse:\n  """off"""\n', 'if x:\n  pass\nelse:\n  pass\n'),
    (
      'try:\n  "a"\nexcept E:\n  "b"\nfinally:\n  "c"\n',
      'try:\n  pass\nexcept E:\n  pass\nfinally:\n  pass\n',
    ),
    ('match x:\n  case "a":\n    "b"\n', 'match x:\n  case "a":\n    pass\n'),
    ('x = f"{y:#x} # {z!r}"  # c\n', 'x = f"{y:#x} # {z!r}"\n'),
    ('x = 1\n\n\n\n\ny = 2\n', 'x = 1\n\n\ny = 2\n'),
    ('"only a docstring"\n', ''),
    ('# only a comment', ''),
    ('', ''),
  ],
)
def test_small_programs(source, expected):
  assert without_documentation(source) == expected
  assert program(expected) == program(source)


@nested_quotes
@pytest.mark.parametrize(
  'source',
  [
    'x = f"{d["#"]}"  # comment\n',
    'x = f"{f"{f"{1}#"}#"}#"  # comment\n',
    'x = f"""{\n  y  # kept: part of the string\n  + 1}\n\n\n# text\n"""  # comment\n"doc"\n',
    'x = f"{y  # kept\n  = }"  # comment\n',
    'x = rf"\\{y}#{z:{"#"}>{w}}"  # comment\n',
  ],
)
def test_f_strings_are_not_taken_apart(source):
  assert without_documentation(source) == source.replace('  # comment', '').replace('"doc"\n', '')


@pytest.mark.parametrize('source', ['x = (', 'def f:\n', '"unended\n', 'x = 1\n  y = 2\n', 'a\0b'])
def test_what_does_not_parse_is_refused(source):
  with pytest.raises((SyntaxError, ValueError)):
    without_documentation(source)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_real_programs_lose_only_documentation(seed):
  assert_only_documentation_is_gone(library_source(random.Random(seed).choice(library_files())))


@pytest.mark.slow
def test_the_whole_library_loses_only_documentation():
  for path in library_files():
    assert_only_documentation_is_gone(library_source(path))


@given(programs())
@settings(max_examples=300, deadline=None)
def test_any_program_loses_only_documentation(lines):
  assert_only_documentation_is_gone('\n'.join(lines) + '\n')


@pytest.mark.parametrize(
  ('source', 'expected'),
  [
    ('# a\nx = 1  # b\n"""c\n  d"""\n', ['# a', '# b', '"""c\n  d"""']),
    ('x = "no"  # "yes"\nf(  # in brackets\n  "no")\n', ['# "yes"', '# in brackets']),
    ('def f(): "doc"; return 1\n', ['"doc"']),
    ('("do"  # in between\n "c")  # behind\n', ['("do"  # in between\n "c")', '# behind']),
    ('é = "é"; "é"; b"no"; f"nor {this}"  # é\n', ['"é"', '# é']),
    ('x = 1\n', []),
    ('', []),
  ],
)
def test_documentation_is_given_as_it_is_written(source, expected):
  assert documentation_of(source) == expected
