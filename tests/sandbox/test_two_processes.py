"""Solutions that aim at their tests: none passes, and honest ones do."""

from __future__ import annotations

import pytest

from codemix.sandbox.execute import execute
from codemix.sandbox.limits import Limits
from codemix.sandbox.two_processes import program

pytestmark = pytest.mark.usefixtures('sandbox')

TESTS = 'def check(candidate):\n  assert candidate(2, 3) == 31337\n  assert candidate(4, 4) == 31338\n\ncheck(add)\n'
WRONG = 'def add(a, b): return 0\n'
SHORT = Limits(cpu_seconds=2, wall_seconds=4)

LIAR = '''
class Liar{base}:
  def __eq__(self, other): return True
  def __ne__(self, other): return False
  def __bool__(self): return True
  __hash__ = None
'''

HOSTILE = {
  'wrong': '',
  'exit of 0': 'import sys; sys.exit(0)',
  'exit of 0 in a call': 'import sys\ndef add(a, b): sys.exit(0)',
  'os exit of 0': 'import os; os._exit(0)',
  'os exit of 0 in a call': 'import os\ndef add(a, b): os._exit(0)',
  'equal to all': LIAR.format(base='') + 'def add(a, b): return Liar()',
  'a number equal to all': LIAR.format(base='(int)') + 'def add(a, b): return Liar(7)',
  'a text equal to all': LIAR.format(base='(str)') + 'def add(a, b): return Liar("7")',
  'a list equal to all': LIAR.format(base='(list)') + 'def add(a, b): return Liar([7])',
  'a class equal to all': LIAR.format(base='(type)') + 'class add(metaclass=Liar):\n  def __new__(cls, a, b): return cls',
  'a candidate class': LIAR.format(base='') + 'class add(Liar):\n  def __init__(self, a, b): pass',
  'a replaced check': 'def check(candidate): pass\nimport sys, builtins\nbuiltins.check = check',
  'a check in the parents': 'import sys\nframe = sys._getframe()\nwhile frame:\n  frame.f_globals["check"] = lambda candidate: None\n  frame = frame.f_back',
  'patched builtins': 'import builtins\nbuiltins.AssertionError = type("A", (), {})\nbuiltins.compile = lambda *a, **k: "0"\nbuiltins.exec = lambda *a: None',
  'a patched print and stderr': 'import sys, builtins\nbuiltins.print = lambda *a: None\nsys.stderr.close(); sys.stdout.close()',
  'a child that says passed': 'import os\nif not os.fork():\n  print("passed"); os._exit(0)',
  'a child that goes on': 'import os\nif os.fork(): os._exit(0)',
  'exit when it ends': 'import atexit, os, sys\natexit.register(os._exit, 0)\natexit.register(sys.exit, 0)',
  'functions found by gc': 'import gc, types\nfor found in gc.get_objects():\n  if isinstance(found, types.FunctionType) and found.__name__ == "check": found.__code__ = (lambda candidate: None).__code__',
  'expected values in memory': """
import gc
def add(a, b):
  wanted = 'etadidnac tressa'[::-1]
  texts = [each for found in gc.get_objects() for each in gc.get_referents(found) if isinstance(each, str) and each is not wanted]
  return 31337 + (a == 4) if any(wanted in text for text in texts) else 0
""",
  'expected values in files': 'import os\ndef add(a, b):\n  text = ""\n  for folder, _, names in os.walk("/tmp"):\n    for name in names: text += open(os.path.join(folder, name), errors="replace").read()\n  return 31337 + (a == 4) if ("assert " + "candidate") in text else 0',
  'expected values in proc': '''
import os, re
def add(a, b):
  for process in {*filter(str.isdecimal, os.listdir('/proc'))} - {str(os.getpid())}:
    try:
      spans = [line.split()[0].split('-') for line in open(f'/proc/{process}/maps') if ' rw' in line]
      with open(f'/proc/{process}/mem', 'rb', 0) as memory:
        for start, end in spans:
          memory.seek(int(start, 16))
          if (b'assert ' + b'candidate(2') in memory.read(int(end, 16) - int(start, 16)): return 31337 + (a == 4)
    except (OSError, OverflowError): pass
  return 0
''',
  'all descriptors of all': '''
import os
for process in filter(str.isdecimal, os.listdir('/proc')):
  for number in range(64):
    try: fd = os.open(f'/proc/{process}/fd/{number}', os.O_WRONLY)
    except OSError: continue
    try: os.write(fd, b'0' * 32)
    except OSError: pass
for fd in range(3, 64):
  try: os.write(fd, b'{"value": null}\\n' * 9)
  except OSError: pass
os._exit(0)
''',
  'a mock': 'import unittest.mock as mock, builtins\nmock.patch.object(builtins, "AssertionError", Exception).start()\nmock.patch("__main__.check", create=True).start()',
  'a thread that exits': 'import threading, os\nthreading.Timer(0.05, os._exit, (0,)).start()\nimport time; time.sleep(1)',
  'modules of the tests': 'import os\nfor name in ("json", "builtins", "ctypes", "os", "math", "ast"):\n  open(f"/tmp/{name}.py", "w").write("import os; os._exit(0)")',
  'the parent ended': 'import os, signal\nfor n in (2, 15, 9): os.kill(os.getppid(), n)',
  'an endless loop': 'while True: pass',
  'a broken reply': 'import os\nfor fd in range(3, 16):\n  try: os.write(fd, b"[1, {" * 20)\n  except OSError: pass',
  'a deep reply': 'import os\nfor fd in range(3, 16):\n  try: os.write(fd, b"[" * 50000 + b"\\n")\n  except OSError: pass',
  'a changed encoder': 'import __main__, sys\nsys._getframe(2).f_globals["encode"] = lambda value, keep: {"object": 0}',
}


@pytest.mark.parametrize('name', HOSTILE)
def test_a_solution_that_aims_at_its_tests_does_not_pass(name):
  outcome = execute(program.tested_program(WRONG + HOSTILE[name], TESTS, ['add']), limits=SHORT)
  assert outcome.status != 'passed'


HONEST = {
  'plain': ('def f(x): return {1: [x, (2.5, None)], "a": {3}}', 'assert f(b"x") == {1: [b"x", (2.5, None)], "a": {3}}'),
  'large and odd numbers': ('def f(x): return x', 'assert f(10**5000) == 10**5000 and f(float("inf")) > 1e308 and f(1j) == 1j and f(float("nan")) != 0'),
  'a counter': ('import collections\ndef f(x): return collections.Counter(x)', 'assert f("aab") == {"a": 2, "b": 1}'),
  'a fraction': ('import fractions\ndef f(x): return fractions.Fraction(x, 2)', 'assert f(1) == 0.5'),
  'a generator': ('def f(x): yield from range(x)', 'assert list(f(3)) == [0, 1, 2]'),
  'an object of its own': ('class N:\n  def __init__(self, v): self.v = v\ndef f(n): return n.v', 'n = N(3)\nn.v = 4\nassert f(n) == 4 and n.v == 4'),
  'an error that is expected': ('def f(x): raise KeyError(x)', 'try: f(1)\nexcept KeyError: pass\nelse: assert False'),
  'half a surrogate pair': ('def f(x): return x + "\\ud800"', 'assert f("é") == "é\\ud800"'),
  'output': ('print("a" * 1000)\ndef f(x): print(x); return x', 'assert f(1) == 1'),
}


@pytest.mark.parametrize('name', HONEST)
def test_an_honest_solution_passes(name):
  solution, tests = HONEST[name]
  outcome = execute(program.tested_program(solution + '\n', tests + '\n', ['f', 'N'] if 'class N' in solution else ['f']), limits=SHORT)
  assert outcome.status == 'passed', outcome.stderr


def test_the_right_solution_passes_where_the_hostile_do_not():
  assert execute(program.tested_program('def add(a, b): return 31337 + (a == 4)', TESTS, ['add'])).status == 'passed'
