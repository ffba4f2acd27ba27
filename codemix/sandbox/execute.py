"""Runs untrusted programs, such as those that a model wrote, and returns their outcomes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import marshal
import math
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from codemix.errors import UserError
from codemix.sandbox import bubblewrap
from codemix.sandbox.languages import LANGUAGES, make_ready, missing_tool, tool_path
from codemix.sandbox.launcher import BOOTSTRAP
from codemix.sandbox.limits import Limits
from codemix.sandbox.seccomp import seccomp_filter
from codemix.sandbox.supervise import Ended, Pipes, supervise

Item = TypeVar('Item')
Result = TypeVar('Result')

STATUSES = ('passed', 'failed', 'timed out', 'out of memory', 'too much output', 'not run')

_STACK_BYTES = 8 << 20  # Linux's default, not this machine's setting, because verdicts depend on the depth of recursion
_OPEN_FILES = 256
_MANY_PROCESSES = 4096  # used if the kernel also counts other processes of the user; the supervisor counts the program's


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The outcome of a program.

  Attributes:
    status: one of `STATUSES`; 'passed' if its tests ran to their end and it exited with 0.
    returncode: its exit status; 128 + n if signal n ended it; None if it was not run.
    stdout, stderr: what it wrote, up to the limit; bytes that are not UTF-8 are replaced.
    seconds: wall time, with that of the sandbox.
  """

  status: str
  returncode: int | None = None
  stdout: str = ''
  stderr: str = ''
  seconds: float = 0.0


def execute(
  program: str, language: str = 'python', limits: Limits | None = None, *, unsafe: bool = False
) -> Outcome:
  """Runs a program, with its tests, in a sandbox.

  Args:
    program: the solution, then tests that raise an error if they fail. It must run to its last line:
      `sys.exit(0)` or `unittest.main()` before that is a failure.
    language: a key of `LANGUAGES`; any other gives the status 'not run'.
    limits: None for `Limits()`.
    unsafe: run it without a sandbox, with the rights of this user. Limits then hold for each process,
      but not for processes that leave their group.

  Raises UserError if this is not Linux, there is no sandbox, or the language's tools do not work in it.
  """
  bubblewrap.require_linux()
  missing = missing_tool(language)
  if missing:
    return Outcome('not run', stderr=missing)
  _require_working(language, unsafe)
  return _execute(program, language, limits or Limits(), unsafe)


def execute_all(
  programs: Iterable[tuple[str, str]],
  limits: Limits | None = None,
  *,
  jobs: int | None = None,
  unsafe: bool = False,
) -> list[Outcome]:
  """Runs (program, language) pairs, `jobs` at a time (None: one per core); outcomes in their order."""
  return in_threads(lambda pair: execute(*pair, limits, unsafe=unsafe), programs, jobs)


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> list[Result]:
  """`function` of each item, in their order, `jobs` at a time (None: one per core that this process has)."""
  # If worker processes share the cores, this variable has the number of cores of each.
  cores = int(os.environ.get('RAYON_NUM_THREADS', '0')) or os.cpu_count()
  with concurrent.futures.ThreadPoolExecutor(jobs or cores) as threads:
    futures = [threads.submit(function, item) for item in items]
    try:
      return [future.result() for future in futures]
    except BaseException:
      threads.shutdown(cancel_futures=True)
      raise


@functools.cache
def _require_working(language: str, unsafe: bool) -> None:
  """Runs a trivial program once per process, so that a broken tool does not fail a whole corpus."""
  outcome = _execute(LANGUAGES[language].example, language, Limits(), unsafe)
  if outcome.status != 'passed':
    said = ' '.join((outcome.stderr or outcome.stdout).split())[-300:]
    tools = ', '.join(filter(None, map(tool_path, LANGUAGES[language].tools))) or bubblewrap.python()
    raise UserError(
      f'a trivial {language} program {outcome.status} in the sandbox ({said or "no output"}): '
      f'fix {tools}, or take it off the PATH to leave {language} out'
    )


def _execute(program: str, language: str, limits: Limits, unsafe: bool) -> Outcome:
  started = time.monotonic()
  word = secrets.token_hex(16)
  with contextlib.ExitStack() as stack:
    folder = bubblewrap.FOLDER
    if unsafe:
      folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='codemix-', ignore_cleanup_errors=True))
    ended = _run(program, language, limits, word, folder, unsafe, started)
  if not ended.began and not ended.stopped:
    raise bubblewrap.cannot_start(ended.stderr.decode(errors='replace'))
  code = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
  stderr = ended.stderr.decode(errors='replace')
  status = ended.stopped or _status(code, stderr, ended.report == word.encode(), LANGUAGES[language].out_of_memory)
  return Outcome(status, code, ended.stdout.decode(errors='replace'), stderr, time.monotonic() - started)


def _status(code: int, stderr: str, completed: bool, out_of_memory: tuple[str, ...]) -> str:
  if code == 0 and completed:
    return 'passed'
  if code == 128 + signal.SIGXCPU:
    return 'timed out'
  return 'out of memory' if code and any(text in stderr for text in out_of_memory) else 'failed'


def _run(
  program: str, language: str, limits: Limits, word: str, folder: str, unsafe: bool, started: float
) -> Ended:
  tools = [path for path in map(tool_path, LANGUAGES[language].tools) if path]
  user = bubblewrap.unused_user() if not unsafe and bubblewrap.is_superuser() else None
  command = [bubblewrap.python(), '-S', '-s', '-P', '-B', '-c', BOOTSTRAP]
  with contextlib.ExitStack() as stack:
    reads, writes = zip(*(_pipe(stack) for _ in range(4)), strict=True)
    pipes, (stdout, stderr, report, status) = Pipes(*reads), writes
    if user is not None:  # so that /dev/stdout and /dev/fd/3 can be opened in the sandbox
      for fd in (stdout, stderr, report):
        os.fchown(fd, user, user)
    run = make_ready(program, LANGUAGES[language], limits, word)
    request = {
      'code': _launcher_code(),
      'files': run.files,
      'steps': run.steps,
      'ending': word.encode(),
      'folder': folder,
      'report': report,
      'life': status if unsafe else None,
      'user': user,
      'shared_folders': [bubblewrap.FOLDER, bubblewrap.SHARED_MEMORY],
      'paths': bubblewrap.package_paths(),
      'limits': _kernel_limits(limits, LANGUAGES[language].reserves_memory, user, unsafe),
    }
    passed = [report, status]
    if not unsafe:
      passed.append(_in_memory(stack, seccomp_filter()))
      command = bubblewrap.isolated(command, limits.file_bytes, tools, passed[-1], status)
    process = subprocess.Popen(
      command,
      stdin=_in_memory(stack, marshal.dumps(request)),
      stdout=stdout,
      stderr=stderr,
      pass_fds=passed,
      cwd='/',
      env=bubblewrap.environment(tools),
      start_new_session=True,
    )
    for fd in writes:
      os.close(fd)
    return supervise(process, pipes, limits, started, not unsafe)


def _kernel_limits(limits: Limits, reserves_memory: bool, user: int | None, unsafe: bool) -> dict[str, int]:
  """The limits that the kernel enforces for each process, by their names in `resource`."""
  known = {
    'RLIMIT_CPU': math.ceil(limits.cpu_seconds),
    'RLIMIT_FSIZE': limits.file_bytes,
    'RLIMIT_STACK': _STACK_BYTES,
    'RLIMIT_NOFILE': _OPEN_FILES,
    'RLIMIT_CORE': 0,
    'RLIMIT_MSGQUEUE': 0,
  }
  if not reserves_memory:
    known['RLIMIT_AS'] = limits.memory_bytes
  if unsafe or not bubblewrap.counts_processes_by_namespace():
    return known | {'RLIMIT_NPROC': _MANY_PROCESSES}
  # The launcher counts too if it has the same user as the program.
  return known | {'RLIMIT_NPROC': limits.processes + (user is None)}


@functools.cache
def _launcher_code() -> bytes:
  path = Path(__file__).with_name('launcher.py')
  return marshal.dumps(compile(path.read_bytes(), 'launcher.py', 'exec'))


def _in_memory(stack: contextlib.ExitStack, data: bytes) -> int:
  """A descriptor from which one reader can read `data`; closed with the stack."""
  fd = os.memfd_create('codemix')
  stack.callback(os.close, fd)
  with open(fd, 'wb', closefd=False) as file:
    file.write(data)
  os.lseek(fd, 0, os.SEEK_SET)
  return fd


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
  read, write = os.pipe()
  stack.callback(os.close, read)
  return read, write
