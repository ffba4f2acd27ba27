"""Code without documentation is the same program, and has none left."""

import ast
import functools
import io
import random
import sys
import sysconfig
import textwrap
import tokenize
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.local_corpora.code import without_documentation
from codemix.data.local_corpora.readers import read_code

LIBRARY = Path(sysconfig.get_path('stdlib'))
SUITES = ('body', 'orelse', 'finalbody')
nested_quotes = pytest.mark.skipif(sys.version_info < (3, 12), reason='PEP 701 is of Python 3.12')


@functools.cache
def library_files():
  return sorted(
    path
    for path in LIBRARY.rglob('*.py')
    if not {'site-packages', 'dist-packages', 'lib2to3', 'test'}
    & set(path.relative_to(LIBRARY).parts)
  )


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
  path = random.Random(seed).choice(library_files())
  with tokenize.open(path) as file:
    assert_only_documentation_is_gone(file.read())


@pytest.mark.slow
def test_the_whole_library_loses_only_documentation():
  for path in library_files():
    with tokenize.open(path) as file:
      assert_only_documentation_is_gone(file.read())


STATEMENTS = [
  'x = 1', 'pass', '...', 'x: "note" = "#"', 'x = "# \\" no comment"', 'f(x)', 'b"bytes"', 'f"{x}#"',
  "x = '''# no comment\n\n\n\n  '''", 'x = [1,  # one\n\n # two\n  2]', 'x = 1 + \\\n 2',
  "x = f'''{x!r:>{10}}\n\n\n# no comment'''", 'x = r"\\\\"; y = "#"',
  '"doc"', '"""doc\n\n\n  # doc"""', 'r"\\doc"', '("doc"\n  # in between\n "goes on")', '"do" "c"',
  '"do" \\\n "c"', 'u"döc é"', "'''é'''", '"doc" \\\n',
]  # fmt: skip
HEADS = [
  'def f(a, b="#"):', 'async def f(*a):', 'class A:', '@d("#")  # c\n{indent}class A(B):', 'if x:', 'for x in y:',
  'while x:', 'with x as y:', 'if x:  # c\n{indent}  pass\n{indent}else:', 'try:\n{indent}  "a"\n{indent}finally:',
  'try: "a"\n{indent}except E:', 'match x:\n{indent} case "#":',
]  # fmt: skip


@st.composite
def programs(draw, indent='', depth=3):
  """Lines of a suite: statements joined by semicolons, comments, blank lines and deeper suites."""
  lines = []
  for _ in range(draw(st.integers(1, 4))):
    kind = draw(st.sampled_from(['line', 'line', 'comment', 'blank', 'suite', 'one-line suite']))
    comment = draw(st.sampled_from(['', '', '  # "quoted" comment', '; # c']))
    code = '; '.join(draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=3)))
    code = indent + code + ('' if code.endswith('\\\n') else comment)
    head = indent + draw(st.sampled_from(HEADS)).format(indent=indent)
    if kind == 'comment':
      lines.append(draw(st.sampled_from(['', indent, '      '])) + '# comment')
    elif kind == 'blank':
      lines += [''] * draw(st.integers(1, 4))
    elif kind == 'suite' and depth:
      lines += [head, *draw(programs(indent + '   ', depth - 1))]
    elif kind == 'one-line suite':
      lines.append(head + ' ' + code.lstrip())
    else:
      lines.append(code)
  if not any(line.strip() and not line.strip().startswith('#') for line in lines):
    lines.append(indent + draw(st.sampled_from(STATEMENTS)))
  return lines


@given(programs())
@settings(max_examples=300, deadline=None)
def test_any_program_loses_only_documentation(lines):
  assert_only_documentation_is_gone('\n'.join(lines) + '\n')


# Which files are programs that somebody wrote.


@pytest.mark.parametrize(
  ('name', 'source', 'reason'),
  [
    ('m.py', b'x = (\n', 'does not parse'),
    ('m.py', b'# coding: nonsense\n', 'not text'),
    ('m.py', b'x = "\xff"\n', 'not text'),
    ('m.py', b'x = print("\\ud800", long_name)\n' * 50, None),
    ('m.py', b'"""Docs."""\nimport a\n', 'tiny'),
    ('m.py', b'# This file is autogenerated.\n' + b'import a\n' * 100, 'generated'),
    ('m_pb2.py', b'import a\n' * 100, 'generated'),
    ('m.py', b'TABLE = [\n' + b'  0.25, 0.5, "name",\n' * 100 + b']\n', 'table'),
    ('m.py', b'import a\n' * 100, None),
  ],
)
def test_reasons_to_leave_a_file_out(tmp_path, name, source, reason):
  path = tmp_path / name
  path.write_bytes(source)
  read = read_code(str(path))
  assert read.get('dropped') == reason
  assert ('text' in read) == (reason is None)


def test_other_encodings_and_line_ends_are_read(tmp_path):
  path = tmp_path / 'm.py'
  path.write_bytes('# coding: latin-1\r\nname = "é"\r\n'.encode('latin-1') * 30)
  assert read_code(str(path)) == {'text': 'name = "é"\n' * 30}
