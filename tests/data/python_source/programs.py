"""Python programs for tests: made-up ones, and those of the standard library."""

import functools
import sysconfig
import tokenize
from pathlib import Path

from hypothesis import strategies as st

LIBRARY = Path(sysconfig.get_path('stdlib'))


@functools.cache
def library_files():
  return sorted(
    path
    for path in LIBRARY.rglob('*.py')
    if not {'site-packages', 'dist-packages', 'lib2to3', 'test'}
    & set(path.relative_to(LIBRARY).parts)
  )


def library_source(path):
  with tokenize.open(path) as file:
    return file.read()


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
