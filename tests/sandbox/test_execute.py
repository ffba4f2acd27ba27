"""What becomes of a program is said as it is; without a sandbox nothing runs unless that was asked for."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest

from codemix.errors import UserError
from codemix.sandbox import bubblewrap, supervise
from codemix.sandbox.execute import execute, execute_all, in_threads
from codemix.sandbox.limits import Limits


@pytest.fixture(params=[False, True], ids=['sandbox', 'unsafe'])
def unsafe(request) -> bool:
  if not request.param:
    request.getfixturevalue('sandbox')
  return request.param


@pytest.fixture
def no_bubblewrap(monkeypatch) -> None:
  """A machine on which bubblewrap is not installed."""
  monkeypatch.setattr(bubblewrap, 'bubblewrap_path', bubblewrap.bubblewrap_path.__wrapped__)
  monkeypatch.setattr(shutil, 'which', lambda name: None)
  from codemix.sandbox import execute as module

  module._require_working.cache_clear()
  yield
  module._require_working.cache_clear()


@pytest.mark.parametrize(
  ('program', 'status', 'codes'),
  [
    ('assert 1 + 1 == 2', 'passed', 0),
    ('', 'passed', 0),
    ('assert 1 + 1 == 3', 'failed', 1),
    ('raise ValueError', 'failed', 1),
    ('def f(:', 'failed', 1),
    ('x = "\x00"', 'failed', 1),
    ('x = "\ud800"', 'failed', 1),  # no UTF-8
    ('import sys\nsys.exit(7)', 'failed', 7),
    ('import os, signal\nos.kill(os.getpid(), signal.SIGTERM)', 'failed', 143),
    ('def f(n): return f(n + 1)\nf(0)', 'failed', 1),
    ('x = "x" * (10 << 30)', 'out of memory', 1),
    ('while True: print("x" * 1000)', 'too much output', 137),
    ('while True: pass', 'timed out', (137, 152)),  # by the watch, or by the kernel
    ('import time\ntime.sleep(100)', 'timed out', 137),
  ],
)
def test_each_end_has_its_word(program, status, codes, unsafe):
  outcome = execute(program, limits=Limits(cpu_seconds=1, wall_seconds=3), unsafe=unsafe)
  assert outcome.status == status, outcome
  assert outcome.returncode in (codes if isinstance(codes, tuple) else (codes,)), outcome


def test_a_program_is_its_interpreter_s_main_module(unsafe):
  program = """
from __future__ import annotations
import dataclasses, inspect, os, pickle, sys
@dataclasses.dataclass
class Point:
  x: int
assert __name__ == '__main__' and pickle.loads(pickle.dumps(Point(3))) == Point(3)
assert inspect.getsource(Point).startswith('@dataclasses')
assert sys.argv == [__file__] and sys.stdin.read() == ''
assert os.path.samefile(os.getcwd(), os.path.dirname(__file__)) and os.listdir('.') == ['program.py'] or '/tmp' == os.getcwd()
import multiprocessing
assert multiprocessing.get_context('fork').Pool(2).map(abs, [-1, 2]) == [1, 2]
print('out'); print('err', file=sys.stderr)
"""
  outcome = execute(program, unsafe=unsafe)
  assert (outcome.status, outcome.stdout, outcome.stderr) == ('passed', 'out\n', 'err\n')


def test_a_program_can_look_at_itself(unsafe):
  program = 'assert "HOME=" in open("/proc/self/environ").read()\n'
  program += 'assert open("/dev/stdin").read() == ""\nfor name in ("stdout", "stderr"): print(name, file=open(f"/dev/{name}", "w"))'
  outcome = execute(program, unsafe=unsafe)
  assert (outcome.status, outcome.stdout, outcome.stderr) == ('passed', 'stdout\n', 'stderr\n')


def test_installed_packages_can_be_imported(unsafe):
  if not any(os.path.isdir(os.path.join(path, 'numpy')) for path in bubblewrap.package_paths()):
    pytest.skip('NumPy does not lie in the folders of this Python')
  assert execute('import numpy\nassert numpy.arange(3).sum() == 3', unsafe=unsafe).status == 'passed'


def test_a_verdict_does_not_depend_on_the_order_of_a_set(unsafe):
  outcomes = execute_all([('print(set("abcdefgh"))', 'python')] * 5, unsafe=unsafe)
  assert len({outcome.stdout for outcome in outcomes}) == 1


def test_the_error_of_a_program_is_shown_with_its_line(unsafe):
  assert 'assert 1 == 2' in execute('x = 1\nassert 1 == 2', unsafe=unsafe).stderr


def test_outcomes_come_in_the_order_of_the_programs(unsafe):
  programs = [(f'import time; time.sleep({0.2 if n == 0 else 0}); print({n})', 'python') for n in range(8)]
  assert [outcome.stdout for outcome in execute_all(programs, jobs=4, unsafe=unsafe)] == [f'{n}\n' for n in range(8)]


@pytest.mark.usefixtures('sandbox')
def test_watching_a_program_from_its_first_moment_changes_no_verdict(monkeypatch):
  monkeypatch.setattr(supervise, '_FIRST_LOOK_SECONDS', 0)
  monkeypatch.setattr(supervise, '_LOOK_SECONDS', 0)
  outcomes = execute_all([('assert True', 'python')] * 40, Limits(file_bytes=1 << 20), jobs=2)
  assert {outcome.status for outcome in outcomes} == {'passed'}


@pytest.mark.usefixtures('sandbox')
def test_files_are_bounded_also_where_bubblewrap_cannot_bound_them(monkeypatch):
  monkeypatch.setattr(bubblewrap, '_offers', lambda flag: False)
  program = 'import time\nfor i in range(64): open(f"x{i}", "wb").write(b"x" * (1 << 20))\ntime.sleep(10)'
  assert execute(program, limits=Limits(file_bytes=16 << 20)).status == 'too much output'


def test_a_language_without_tools_is_not_run():
  outcome = execute('main = print 1', 'haskell')
  assert (outcome.status, outcome.stderr, outcome.returncode) == ('not run', 'no toolchain for haskell', None)


@pytest.mark.usefixtures('no_bubblewrap')
def test_without_bubblewrap_nothing_runs_and_the_fix_is_said(tmp_path):
  mark = tmp_path / 'ran'
  with pytest.raises(UserError, match='bubblewrap is not installed: run "apt-get install bubblewrap".*allow_unsandboxed') as said:
    execute(f'open({str(mark)!r}, "w")')
  assert '\n' not in str(said.value)
  assert not mark.exists()
  assert execute(f'open({str(mark)!r}, "w")', unsafe=True).status == 'passed'
  assert mark.exists()


@pytest.mark.usefixtures('sandbox')
def test_a_sandbox_that_cannot_be_made_is_an_error_and_no_verdict(monkeypatch):
  isolated = bubblewrap.isolated
  monkeypatch.setattr(bubblewrap, 'isolated', lambda *args: [*(w := isolated(*args))[:1], '--ro-bind', '/absent', '/absent', *w[1:]])
  with pytest.raises(UserError, match="bubblewrap cannot isolate programs here .*/absent") as said:
    execute('assert True')
  assert '\n' not in str(said.value)


@pytest.mark.usefixtures('sandbox')
def test_a_broken_tool_is_an_error_and_no_verdict(monkeypatch):
  from codemix.sandbox import execute as module

  broken = dataclasses.replace(module.LANGUAGES['python'], example='import a_broken_installation')
  monkeypatch.setitem(module.LANGUAGES, 'python', broken)
  module._require_working.cache_clear()
  with pytest.raises(UserError, match='a trivial python program failed.*a_broken_installation.*fix'):
    execute('assert True')
  module._require_working.cache_clear()


def lives(process: str) -> bool:
  try:
    return Path(f'/proc/{process}/stat').read_text().rpartition(') ')[2][0] != 'Z'
  except OSError:
    return False


def test_unsafe_programs_leave_no_folder_and_no_group(tmp_path, monkeypatch):
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  program = 'import os\nopen("file", "w")\nprint(os.fork() or os.getpid(), flush=True)\nimport time; time.sleep(100)'
  outcome = execute(program, limits=Limits(wall_seconds=1), unsafe=True)
  assert outcome.status == 'timed out'
  for process in outcome.stdout.split():
    for _ in range(500):
      if not lives(process):
        break
      time.sleep(0.02)
    assert not lives(process)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ('name', 'value'),
  [('cpu_seconds', 0), ('wall_seconds', float('inf')), ('memory_bytes', 1), ('processes', 2.5), ('output_bytes', '1 MB'), ('file_bytes', True)],
)
def test_a_limit_that_makes_no_sense_is_named(name, value):
  with pytest.raises(UserError, match=f'Limits.{name} is '):
    Limits(**{name: value})


def test_a_worker_process_runs_as_many_programs_at_a_time_as_it_has_cores(monkeypatch):
  at_once = []

  def slow(item: int) -> int:
    at_once.append(1)
    found = len(at_once)
    time.sleep(0.05)
    at_once.pop()
    return found

  monkeypatch.setenv('RAYON_NUM_THREADS', '3')
  assert max(in_threads(slow, range(12))) == 3
  assert max(in_threads(slow, range(4), jobs=1)) == 1
