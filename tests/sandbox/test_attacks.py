"""Programs that mean harm: each is stopped, none is counted as passed, nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.sandbox.execute import execute
from codemix.sandbox.limits import Limits

pytestmark = pytest.mark.usefixtures('sandbox')

ROOT = Path(__file__).resolve().parents[2]
SHORT = Limits(cpu_seconds=1, wall_seconds=20)
BRIEF = Limits(cpu_seconds=20, wall_seconds=1)  # for programs that wait
SMALL = Limits(cpu_seconds=20, memory_bytes=256 << 20)


def processes_with(word: str) -> list[str]:
  """Command lines on this machine that have a word in them."""
  lines = []
  for path in Path('/proc').glob('[0-9]*/cmdline'):
    with contextlib.suppress(OSError):
      lines.append(path.read_bytes().replace(b'\0', b' ').decode(errors='replace'))
  return [line for line in lines if word in line]


@pytest.fixture
def sleeper() -> Iterator[str]:
  """A number of seconds that no other process sleeps; afterwards none does."""
  seconds = f'{10_000 + secrets.randbelow(10_000)}.{secrets.randbelow(10**9)}'
  yield seconds
  assert not processes_with(seconds)


# Time.


@pytest.mark.parametrize(
  'program',
  [
    'while True: pass',
    'import signal\nfor n in (15, 24, 2, 1): signal.signal(n, signal.SIG_IGN)\nwhile True: pass',
    'import os, sys\nsys.stdout.close(); sys.stderr.close(); os.closerange(0, 100)\nwhile True: pass',
    'import threading\nthreading.Thread(target=lambda: exec("while True: pass")).start()\nwhile True: pass',
    # None of the children uses up its own second of processor time.
    'import os, time\nwhile True:\n  if not os.fork():\n    end = time.process_time() + 0.1\n'
    '    while time.process_time() < end: pass\n    os._exit(0)\n  os.wait()',
  ],
  ids=['loop', 'deaf to signals', 'output closed', 'threads', 'short-lived children'],
)
def test_a_program_without_end_is_stopped(program):
  assert execute(program, limits=SHORT).status == 'timed out'


def test_a_program_that_waits_for_ever_is_stopped(sleeper):
  program = f'import subprocess, sys\nsubprocess.run(["sleep", "{sleeper}"])'
  assert execute(program, limits=BRIEF).status == 'timed out'


# Processes.


def test_a_fork_bomb_is_stopped(sleeper):
  program = f'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n# {sleeper}'
  assert execute(program, limits=SHORT).status == 'timed out'
  shell = f'import os\nos.system("sleep {sleeper} & b() {{ b | b & }}; b; wait")'
  bomb = execute(shell, limits=BRIEF)
  # A shell whose last fork is refused may end without an error of its own.
  assert bomb.status in ('timed out', 'failed') or 'Cannot fork' in bomb.stderr


@pytest.mark.parametrize('kind', ['process', 'thread'])
def test_no_more_processes_than_allowed_run_at_a_time(kind):
  start = {
    'process': 'import os, time\ndef start():\n  if not os.fork(): time.sleep(100)',
    'thread': 'import threading, time\ndef start(): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()',
  }[kind]
  program = f'{start}\ncount = 1\ntry:\n  while count < 500: start(); count += 1\nexcept (OSError, RuntimeError): pass\nprint(count)'
  outcome = execute(program, limits=Limits(processes=20))
  assert (outcome.status, outcome.stdout) == ('passed', '20\n')


def test_a_process_that_leaves_its_group_and_session_does_not_outlive_the_program(sleeper):
  program = (
    'import os, subprocess\n'
    'if not os.fork():\n'
    '  os.setsid()\n'
    '  if not os.fork():\n'
    f'    subprocess.Popen(["sleep", "{sleeper}"], start_new_session=True)\n'
    '  os._exit(0)\n'
    'os.wait()\n'
    'import time; time.sleep(0.2)'
  )
  assert execute(program).status == 'passed'


@pytest.mark.parametrize('target', ['1', 'os.getppid()', '-1', '0'])
def test_a_program_cannot_kill_what_watches_it(target, sleeper):
  program = (
    'import os, signal, subprocess\n'
    f'subprocess.Popen(["sleep", "{sleeper}"], start_new_session=True)\n'
    f'try: os.kill({target}, signal.SIGKILL)\n'
    'except PermissionError: pass\n'
    'assert False'
  )
  assert execute(program).status == 'failed'


def test_nothing_is_left_when_the_caller_is_killed(tmp_path, sleeper):
  program = f'import os; os.execvp("sleep", ["sleep", "{sleeper}"])'
  code = (
    'import sys, tempfile; from codemix.sandbox.execute import execute\n'
    f'tempfile.tempdir = {str(tmp_path)!r}\n'
    'execute("assert True"); print("begins", flush=True)\n'
    f'execute({program!r})'
  )
  caller = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
  assert caller.stdout.readline() == 'begins\n'
  wait_until(lambda: processes_with(f'sleep {sleeper}'))
  caller.kill()
  caller.wait()
  caller.stdout.close()
  wait_until(lambda: not processes_with(sleeper))
  assert list(tmp_path.iterdir()) == []


def wait_until(happened) -> None:
  for _ in range(500):
    if happened():
      return
    time.sleep(0.02)
  raise AssertionError('it did not happen in ten seconds')


# Memory.


def test_a_process_that_asks_for_ten_gigabytes_does_not_get_them():
  assert execute('x = bytearray(10 << 30)').status == 'out of memory'


@pytest.mark.parametrize(
  'program',
  [
    # Each process stays within what one may have.
    'import os, time\nfor _ in range(8):\n  if not os.fork():\n    x = b"x" * (100 << 20); time.sleep(100)\ntime.sleep(100)',
    'import mmap, os, time\nfor _ in range(8):\n  if not os.fork():\n'
    '    m = mmap.mmap(-1, 100 << 20); m[:] = b"x" * len(m); time.sleep(100)\ntime.sleep(100)',
  ],
  ids=['private', 'shared'],
)
def test_processes_that_take_too_much_together_are_stopped(program):
  assert execute(program, limits=SMALL).status == 'out of memory'


def test_memory_that_forked_processes_share_counts_once():
  program = (
    'import os, time\n'
    'x = b"x" * (100 << 20)\n'
    'children = [os.fork() or (time.sleep(0.5), os._exit(0)) for _ in range(8)]\n'
    'for _ in children: os.wait()'
  )
  assert execute(program, limits=SMALL).status == 'passed'


# Output and files.


@pytest.mark.parametrize('fd', [1, 2])
def test_a_gigabyte_of_output_is_stopped_and_not_kept(fd):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  outcome = execute(f'import os\nfor _ in range(1024): os.write({fd}, b"x" * (1 << 20))')
  assert outcome.status == 'too much output'
  assert len(outcome.stdout) + len(outcome.stderr) <= 2 * Limits().output_bytes
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


def test_output_up_to_the_limit_is_kept_whole():
  outcome = execute('print("x" * 999)', limits=Limits(output_bytes=1000))
  assert (outcome.status, len(outcome.stdout)) == ('passed', 1000)
  assert execute('print("x" * 1000)', limits=Limits(output_bytes=1000)).status == 'too much output'


@pytest.mark.parametrize(
  'program',
  [
    'f = open("x", "wb")\nfor _ in range(1024): f.write(b"x" * (1 << 20))',
    'for i in range(1024): open(f"x{i}", "wb").write(b"x" * (1 << 20))',
    'for i in range(1024): open(f"/dev/shm/x{i}", "wb").write(b"x" * (1 << 20))',
    'import os\nos.posix_fallocate(os.open("x", os.O_RDWR | os.O_CREAT), 0, 1 << 30)',
  ],
  ids=['one file', 'many files', 'shared memory', 'allocated'],
)
def test_a_gigabyte_of_files_is_stopped(program):
  assert execute(program).status in ('failed', 'too much output')


def test_a_flood_of_empty_files_is_stopped():
  program = 'i = 0\nwhile True:\n  open(f"x{i}", "w").close()\n  i += 1'
  assert execute(program).status == 'too much output'


def test_nothing_outside_its_folder_can_be_written(tmp_path):
  (tmp_path / 'mine').write_text('mine')
  marks = {str(tmp_path / 'new'), str(Path.home() / f'codemix-{secrets.token_hex(4)}'), str(ROOT / 'codemix-attack')}
  places = [*marks, str(tmp_path / 'mine'), '/x', '/usr/x', '/etc/x', '/dev/x', '/var/x', '/proc/sys/kernel/core_pattern']
  program = (
    'import os\n'
    f'for i, path in enumerate({places!r}):\n'
    '  os.symlink(path, f"/tmp/link{i}")\n'
    '  for name in (path, f"/tmp/link{i}", f"/proc/self/root{path}", f"/proc/1/root{path}", f"/proc/self/cwd/..{path}"):\n'
    '    try:\n'
    '      with open(name, "w") as file: file.write("was here")\n'
    '    except OSError: continue\n'
    '    print(name)\n'
  )
  outcome = execute(program)
  # The temporary folder is the program's own, also where the path to this test's begins in it.
  written = [name for name in outcome.stdout.split() if '/tmp/' not in name]
  assert (outcome.status, written) == ('passed', [])
  assert not [mark for mark in marks if Path(mark).exists()]
  assert (tmp_path / 'mine').read_text() == 'mine'


# What it may know.


def test_nothing_of_this_machine_s_users_can_be_read(tmp_path, monkeypatch):
  secret = secrets.token_hex(16)
  (tmp_path / 'secret').write_text(secret)
  (tmp_path / 'secret').chmod(0o644)
  tmp_path.chmod(0o755)
  monkeypatch.setenv('CODEMIX_TEST_SECRET', secret)
  places = [str(tmp_path / 'secret'), '/etc/shadow', '/etc/passwd', str(ROOT / 'README.md'), '/home', '/var', '/run', '/sys', '/mnt']
  program = (
    'import glob, os\n'
    f'for path in {places!r}:\n'
    '  for name in (path, "/proc/1/root" + path):\n'
    '    if os.path.exists(name): print(name)\n'
    'texts = [open(name, "rb").read() for name in glob.glob("/proc/[0-9]*/cmdline")]\n'
    'assert len(texts) == 2, texts  # the launcher and this program\n'
    'texts.append(str(os.environ).encode())\n'
    'for name in glob.glob("/proc/*/environ"):\n'
    '  try: texts.append(open(name, "rb").read())\n'
    '  except OSError: pass\n'
    f'print(b"CODEMIX_TEST" in b"".join(texts))\n'
  )
  outcome = execute(program)
  assert (outcome.status, outcome.stdout) == ('passed', 'False\n'), outcome


def test_it_is_nobody_and_has_no_rights():
  program = (
    'import os\n'
    'status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)\n'
    'assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0\n'
    'assert status["NoNewPrivs"].strip() == "1"\n'
    'assert status["Seccomp"].strip() == "2"\n'
    f'assert os.getuid() not in (0, {os.getuid()}) or os.getuid() == 65534\n'
    'for become in (os.setuid, os.setgid, os.seteuid):\n'
    '  try: become(0)\n'
    '  except OSError: continue\n'
    '  assert False, become\n'
  )
  assert execute(program).status == 'passed'


@pytest.mark.parametrize(
  ('call', 'arguments'),
  [
    ('unshare', '0x10000000'),
    ('unshare', '0x00020000'),
    ('memfd_create', 'b"x", 0'),
    ('shmget', '0, 1 << 30, 0o1600'),
    ('ptrace', '0, 0, 0, 0'),
    ('mount', 'b"x", b"/tmp", b"tmpfs", 0, 0'),
  ],
)
def test_calls_that_no_solution_needs_are_refused(call, arguments):
  program = f'import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nassert c.{call}({arguments}) == -1\nassert ctypes.get_errno() == 1'
  outcome = execute(program)
  assert outcome.status == 'passed', outcome


# Network.


@contextlib.contextmanager
def listening(family: int, address) -> Iterator[tuple[object, list]]:
  """A server of this machine: its address, and who came."""
  came: list = []
  with socket.socket(family) as server:
    server.bind(address)
    server.listen()

    def accept():
      with contextlib.suppress(OSError):
        visitor, _ = server.accept()
        visitor.close()
        came.append(visitor)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname(), came
    with contextlib.suppress(OSError):
      server.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)


@pytest.mark.parametrize('kind', ['loopback', 'abstract', 'file'])
def test_servers_of_this_machine_cannot_be_reached(kind, tmp_path):
  family, address = {
    'loopback': (socket.AF_INET, ('127.0.0.1', 0)),
    'abstract': (socket.AF_UNIX, f'\0codemix-{secrets.token_hex(4)}'),
    'file': (socket.AF_UNIX, str(tmp_path / 'socket')),
  }[kind]
  with listening(family, address) as (where, came):
    program = f'import socket\nsocket.socket({int(family)}).connect({where!r})'
    assert execute(program, limits=BRIEF).status == 'failed'
    assert not came
    with socket.socket(family) as client:  # from outside it can be reached
      client.connect(where)
    wait_until(lambda: came)


@pytest.mark.parametrize(
  'program',
  [
    'import socket\nsocket.create_connection(("1.1.1.1", 53), timeout=5)',
    'import socket\nsocket.create_connection(("::1", 53), timeout=5)',
    'import socket\nsocket.getaddrinfo("example.com", 80)',
    'import urllib.request\nurllib.request.urlopen("http://example.com", timeout=5)',
    'import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53))',
    'import socket\nsocket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)',
    'import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)',
    'import subprocess\nsubprocess.run(["perl", "-MSocket", "-e", "socket(S, AF_INET, SOCK_STREAM, 0) or exit 1"], check=True)',
  ],
  ids=['TCP', 'TCP6', 'DNS', 'HTTP', 'UDP', 'host of the machine', 'kernel', 'by another program'],
)
def test_there_is_no_network(program):
  assert execute(program, limits=Limits(wall_seconds=10)).status == 'failed'


# The verdict.


@pytest.mark.parametrize(
  'program',
  [
    'import os\nos._exit(0)',
    'import sys\nsys.exit(0)',
    'raise SystemExit',
    'exit(0)',
    'import os\nos.execv("/bin/true", ["true"])',
    'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)',
    'import atexit, os\natexit.register(os._exit, 0)\nassert False',
    'import sys\nsys.excepthook = lambda *_: None\nassert False',
    'import threading, os\nthreading.Thread(target=os._exit, args=(0,)).start()\nimport time; time.sleep(5)',
    'import sys, os\nsys.modules["__main__"].passed = True\nprint("passed", "0" * 32)\nos._exit(0)',
    # Guesses the word on every descriptor.
    'import os\nfor fd in range(64):\n  try: os.write(fd, b"0" * 32)\n  except OSError: pass\nos._exit(0)',
    'import os\nif os.fork(): os._exit(0)',  # the child comes to the end, not the program
  ],
)
def test_a_program_that_ends_before_its_tests_has_not_passed(program):
  assert execute(program + '\nassert False').status == 'failed'


def test_a_program_may_spoil_its_interpreter_and_still_pass():
  program = 'import os, sys\nfor name in ("write", "_exit", "fork", "getpid"): setattr(os, name, None)\nsys.stdout = sys.stderr = None'
  assert execute(program).status == 'passed'


# Ours.


def test_nothing_is_left_behind():
  for _ in range(2):  # the first run may open what stays open, such as a cache
    folders, descriptors = set(os.listdir(tempfile.gettempdir())), os.listdir('/proc/self/fd')
    for program in ('assert True', 'assert False', 'import os\nos.fork()\nwhile True: pass'):
      execute(program, limits=Limits(cpu_seconds=0.2))
  assert len(os.listdir('/proc/self/fd')) == len(descriptors)
  assert not [name for name in set(os.listdir(tempfile.gettempdir())) - folders if 'codemix' in name or 'bind' in name]
  with contextlib.suppress(ChildProcessError):
    assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def test_a_signal_to_the_caller_ends_the_program(sleeper):
  def interrupt(*_):
    raise KeyboardInterrupt

  old = signal.signal(signal.SIGALRM, interrupt)
  signal.setitimer(signal.ITIMER_REAL, 1)
  try:
    with pytest.raises(KeyboardInterrupt):
      execute(f'import os; os.execvp("sleep", ["sleep", "{sleeper}"])')
  finally:
    signal.signal(signal.SIGALRM, old)


AS_ANOTHER = """
from codemix.sandbox.execute import execute
from codemix.sandbox.limits import Limits
few = 'import os, time\\ncount = 1\\ntry:\\n  while os.fork() or time.sleep(9): count += 1\\nexcept OSError: print(count)'
write = 'for path in ("/x", "/etc/x", "/usr/x", "/dev/x", "/var/tmp/x"):\\n  try: open(path, "w")\\n  except OSError: continue\\n  print(path)'
hoard = 'import os, time\\nfor _ in range(8):\\n  if not os.fork():\\n    x = b"x" * (100 << 20); time.sleep(99)\\ntime.sleep(99)'
for program in ('assert True', 'assert False', few, write, hoard):
  outcome = execute(program, limits=Limits(processes=20, memory_bytes=256 << 20))
  print(outcome.status, outcome.stdout.strip())
"""


def test_the_superuser_and_others_are_isolated_alike():
  """Run by the superuser, the other tests say nothing of user namespaces; this one does."""
  python = '/usr/bin/python3'
  if os.geteuid() or not os.path.exists(python):
    pytest.skip('only the superuser can become another, for whom there must be a Python')
  nobody = {'user': 65534, 'group': 65534, 'extra_groups': [], 'cwd': '/', 'env': {'PYTHONPATH': str(ROOT)}}
  seen = subprocess.run([python, '-B', '-c', 'import sys, codemix; assert sys.version_info >= (3, 11)'], **nobody, capture_output=True, check=False)
  if seen.returncode:
    pytest.skip(f'others cannot read this folder, or {python} is too old')
  ran = subprocess.run([python, '-B', '-c', AS_ANOTHER], **nobody, capture_output=True, text=True, check=False)
  if 'user namespaces' in ran.stderr or 'cannot isolate' in ran.stderr:
    pytest.skip('users may not make user namespaces here')
  assert ran.stdout.splitlines() == ['passed ', 'failed ', 'passed 20', 'passed ', 'out of memory '], ran.stderr
