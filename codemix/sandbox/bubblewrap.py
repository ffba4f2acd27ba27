"""The bubblewrap command that isolates a program.

A program sees the system's programs and libraries and the Python in use, all read-only, and an empty
temporary folder in memory. It has no network, sees no other processes, has no capabilities, and its
system calls are filtered (`seccomp.py`).

For an ordinary user, the program runs in a user namespace. For the superuser it runs as an unused
user, a new one for each program, because the kernel does not limit the number of the superuser's
processes, in a user namespace either (`copy_process` in kernel/fork.c exempts the root user).
"""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from codemix.errors import UserError

FOLDER = '/tmp'  # where the program runs, and all it may write
SHARED_MEMORY = '/dev/shm'
_SYSTEM = ('/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32')
_SETTINGS = ('alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'php', 'java*')  # below /etc
_PERHAPS = "Or say allow_unsandboxed=True, which runs programs with this user's rights; docs/sandbox.md says what that risks."


def require_linux() -> None:
  """Raises UserError if this is not Linux: other systems have neither the sandbox nor the limits."""
  if sys.platform != 'linux':
    raise UserError(f'programs are run and limited by means that only Linux has, and this is {sys.platform}: use a Linux machine')


@functools.cache
def bubblewrap_path() -> str:
  """The path of `bwrap`; raises UserError if it is not installed."""
  path = shutil.which('bwrap')
  if path is None:
    raise UserError(
      'model-written code runs only in a sandbox, and bubblewrap is not installed: '
      f'run "apt-get install bubblewrap" (or dnf, or conda). {_PERHAPS}'
    )
  return path


def cannot_start(said: str) -> UserError:
  """The error for a bubblewrap that is installed but cannot make its namespaces."""
  fix = (
    'give the container CAP_SYS_ADMIN and an unmasked /proc, or run outside it'
    if os.geteuid() == 0
    else 'let users make user namespaces (sysctl user.max_user_namespaces, '
    'kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)'
  )
  words = ' '.join(said.split())[-300:] or 'it said nothing'
  return UserError(f'bubblewrap cannot isolate programs here ({words}): {fix}. {_PERHAPS}')


def is_superuser() -> bool:
  """Whether this process is the superuser for the kernel, not only in its container."""
  if os.geteuid():
    return False
  return Path('/proc/self/uid_map').read_text().split() == ['0', '0', str(2**32 - 1)]


def unused_user() -> int:
  """A random user number from the range that no system assigns (2^30 to 2^31)."""
  return 2**30 + secrets.randbelow(2**30 - 2)


def isolated(
  command: Sequence[str],
  file_bytes: int,
  tools: Iterable[str],
  seccomp: int,
  status: int,
) -> list[str]:
  """The command that runs `command` in its sandbox.

  Args:
    file_bytes: size of its temporary folder, and of its shared memory.
    tools: paths of executables that it needs.
    seccomp: descriptor from which bubblewrap reads the filter of system calls.
    status: descriptor to which bubblewrap writes lines of JSON ('child-pid', 'exit-code').
  """
  bounded = ['--size', str(file_bytes)] if _offers('--size') else []
  words = [bubblewrap_path(), '--die-with-parent', '--as-pid-1', '--cap-drop', 'ALL']
  words += ['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try']
  if is_superuser():
    words += ['--cap-add', 'CAP_SETUID', '--cap-add', 'CAP_SETGID']  # to become another user
  else:
    words += ['--unshare-user', '--uid', '65534', '--gid', '65534']
  words += ['--hostname', 'sandbox', '--proc', '/proc', '--dev', '/dev']
  words += [*bounded, '--tmpfs', SHARED_MEMORY, *bounded, '--tmpfs', FOLDER]
  words += [*_system(), *_bound(roots(tools)), '--remount-ro', '/dev', '--remount-ro', '/']
  words += ['--chdir', '/', '--seccomp', str(seccomp), '--json-status-fd', str(status)]
  return [*words, '--', *command]


def python() -> str:
  """The interpreter that runs in the sandbox: that of this process, outside its virtual environment."""
  return os.path.realpath(getattr(sys, '_base_executable', '') or sys.executable)


def package_paths() -> list[str]:
  """The folders of this process's Python packages that the sandbox shows."""
  shown = [*_SYSTEM, *_python_roots()]
  return [
    path
    for path in sys.path
    if path.endswith(('site-packages', 'dist-packages')) and any(Path(path).is_relative_to(root) for root in shown)
  ]


def environment(tools: Iterable[str]) -> dict[str, str]:
  """All environment variables of a program."""
  folders = list(dict.fromkeys([*(os.path.dirname(tool) for tool in tools), '/usr/local/bin', '/usr/bin', '/bin']))
  modules = [str(Path(tool).parents[1] / 'lib' / 'node_modules') for tool in tools]
  modules += ['/usr/local/lib/node_modules', '/usr/lib/node_modules', '/usr/share/nodejs']
  return {
    'PATH': os.pathsep.join(folders),
    'HOME': FOLDER,
    'TMPDIR': FOLDER,
    'LANG': 'C.UTF-8',
    'TZ': 'UTC',
    'PYTHONHASHSEED': '0',  # a verdict must not depend on the order of a set
    'NODE_PATH': os.pathsep.join(dict.fromkeys(modules)),
    # Libraries start a thread for each core of the machine, and the number of threads is limited.
    'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'MKL_NUM_THREADS': '1',
    'MALLOC_ARENA_MAX': '2',
  }


def roots(tools: Iterable[str]) -> list[str]:
  """Folders that the sandbox shows besides the system's: those of the Python in use and of `tools`."""
  folders = [*_python_roots(), *map(_installation, tools)]
  return [path for path in dict.fromkeys(folders) if not _is_system(path)]


@functools.cache
def _python_roots() -> tuple[str, ...]:
  places = (sys.base_prefix, os.path.realpath(sys.base_prefix), sys.prefix)
  return tuple(dict.fromkeys(os.path.abspath(place) for place in places))


def _installation(tool: str) -> str:
  """The folder that a tool is installed in, or the tool alone if that folder contains the user's home."""
  folder = Path(tool).parent
  if folder.name != 'bin' or Path.home().is_relative_to(folder.parent):
    return tool
  return str(folder.parent)


def _is_system(path: str) -> bool:
  return any(Path(path).is_relative_to(root) for root in _SYSTEM)


@functools.cache
def _system() -> tuple[str, ...]:
  words: list[str] = []
  for path in map(Path, _SYSTEM):
    if path.is_symlink():
      words += ['--symlink', os.readlink(path), str(path)]
    elif path.is_dir():
      words += ['--ro-bind', str(path), str(path)]
  for pattern in _SETTINGS:
    words += _bound(map(str, sorted(Path('/etc').glob(pattern))))
  return tuple(words)


def _bound(paths: Iterable[str]) -> list[str]:
  words: list[str] = []
  for path in paths:
    # Bubblewrap itself would make the parent folders so that only its own user can enter them.
    for above in reversed(Path(path).parents[:-1]):
      words += ['--dir', str(above)]
    words += ['--ro-bind', path, path]
  return words


@functools.cache
def _offers(flag: str) -> bool:
  """Whether this bubblewrap has a flag; `--size` is new in 0.7."""
  described = subprocess.run([bubblewrap_path(), '--help'], capture_output=True, text=True, check=False)
  return flag in described.stdout + described.stderr


def counts_processes_by_namespace() -> bool:
  """Whether RLIMIT_NPROC counts only the sandbox's processes.

  It does for an unused user and, since Linux 5.14 (commit 21d1c5e386bc), for a user of a user
  namespace; before, it counts all processes of the user on this machine.
  """
  release = tuple(int(part) for part in platform.release().split('-')[0].split('.')[:2])
  return is_superuser() or release >= (5, 14)
