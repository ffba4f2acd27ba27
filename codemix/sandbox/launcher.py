"""The first process in the sandbox: it sets the limits, starts the program and waits for it.

This file is not imported there. A bare Python interpreter gets its compiled code (`BOOTSTRAP`), so
it may use only the standard library, and only modules that load quickly.

The first process of a process namespace cannot be killed from within, and the kernel ends all
others with it. So a program cannot end the launcher, and none of its processes outlives it.
"""

import os
import resource
import signal
import sys

# Reads a marshalled dictionary from standard input: the request and the code of this file.
BOOTSTRAP = (
  'import marshal\n'
  'with open(0, "rb") as file: request = marshal.load(file)\n'
  'scope = {"__name__": "launcher"}\n'
  'exec(marshal.loads(request.pop("code")), scope)\n'
  'scope["launch"](request)'
)
REPORT = 3  # the descriptor on which a program reports that it ran to its end
BEGINS = b'>'  # the first report: the sandbox works


def launch(request: dict) -> None:
  """Runs a request to its end and exits with the program's status, or 128 + the signal's number.

  Args:
    request: 'files' (name -> bytes, written to 'folder'), 'steps' (commands; the last one is the
      program; none for Python, which runs in this interpreter), 'ending' (what a Python program
      that came to its end reports), 'report' and 'life' (descriptors), 'user' (the user to become,
      or None), 'shared_folders' (made writable for that user), 'paths' (of Python packages),
      'limits' (names of `resource` -> value).
  """
  os.write(request['report'], BEGINS)
  os.open(os.devnull, os.O_RDONLY)  # becomes standard input, which was closed
  if request['user'] is not None:
    for folder in request['shared_folders']:
      os.chmod(folder, 0o1777)
  program = os.fork()
  if not program:
    _run(request)
  os.close(request['report'])
  while True:
    process, status = os.wait()
    if process == program:
      code = os.waitstatus_to_exitcode(status)
      os._exit(code if code >= 0 else 128 - code)


def _run(request: dict) -> None:
  if request['life'] is not None:
    os.close(request['life'])
  _limit(request['limits'], request['user'])
  os.chdir(request['folder'])
  for name, content in request['files'].items():
    with open(name, 'wb') as file:
      file.write(content)
  if request['steps']:
    _run_commands(request['steps'], request['report'])
  _run_python(request)


def _limit(limits: dict, user: int | None) -> None:
  if user is not None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _open_to_itself()
  # RLIMIT_NPROC is set last, because it counts the processes of the new user.
  for name in sorted(limits, key=lambda name: name == 'RLIMIT_NPROC'):
    kind = getattr(resource, name)
    soft, most = limits[name], resource.getrlimit(kind)[1]
    hard = soft + 1 if name == 'RLIMIT_CPU' else soft  # the soft limit sends SIGXCPU, not SIGKILL
    if most != resource.RLIM_INFINITY:
      soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def _open_to_itself() -> None:
  """Lets a process whose user changed open its /proc/self, and so /dev/stdin and the like."""
  try:
    import ctypes
  except ImportError:  # a Python built without libffi
    return
  ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE of linux/prctl.h


def _run_commands(steps: list, report: int) -> None:
  for kind in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and inherited
    signal.signal(kind, signal.SIG_DFL)
  if report == REPORT:
    os.set_inheritable(report, True)
  else:
    os.dup2(report, REPORT)
    os.close(report)
  for command in steps[:-1]:
    code = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)[1])
    if code:
      os._exit(code if code > 0 else 128 - code)
  os.execv(steps[-1][0], steps[-1])


def _run_python(request: dict) -> None:
  """Runs the program in this interpreter, as its `__main__`; reports only if its last line has run."""
  # A program may replace functions of `os`, and some solutions do.
  write, leave, identity, process = os.write, os._exit, os.getpid, os.getpid()
  os.set_inheritable(request['report'], False)
  ((name, source),) = request['files'].items()
  path = os.path.join(request['folder'], name)
  module = type(sys)('__main__')
  module.__file__ = path
  sys.modules['__main__'] = module
  sys.argv = [path]
  sys.path[:0] = [request['folder']]
  sys.path += request['paths']
  excepthook, code = sys.excepthook, 0
  try:
    exec(compile(source, path, 'exec', dont_inherit=True), module.__dict__)
  except SystemExit as end:
    code = end.code if isinstance(end.code, int) and 0 < end.code < 256 else 1
    sys.__stderr__.write(f'ended by SystemExit({end.code!r}), before the end of its tests\n')
  except BaseException:
    code = 1
    excepthook(*sys.exc_info())
  for stream in (sys.stdout, sys.stderr):
    try:  # noqa: SIM105  contextlib would be loaded for each program
      stream.flush()
    except (AttributeError, OSError, ValueError):  # the program closed or replaced it
      pass
  if identity() != process:  # a child that the program forked, and let run to here
    leave(code)
  if not code:
    write(request['report'], request['ending'])
  leave(code)
