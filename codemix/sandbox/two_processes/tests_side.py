"""Runs tests on a solution in another process (sent into the sandbox as text, after plain_data.py).

The solution gets the arguments of each call and decides the value that comes back. That value is rebuilt
here from plain data, so it has no methods of the solution's. The solution is in a new process, which
never had the tests, the expected values or the descriptor that reports success in its memory.
"""

import builtins
import ctypes
import json
import os
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_LONGEST_REPLY_BYTES = 64 << 20


class Remote:
  """An object of the solution: a function, a class, or an instance. It equals nothing."""

  __slots__ = ('_asker', '_number')

  def __init__(self, asker, number):
    object.__setattr__(self, '_asker', asker)
    object.__setattr__(self, '_number', number)

  def __call__(self, *arguments, **named):
    return self._asker('call', self, arguments, named)

  def __getattr__(self, name):
    return self._asker('get', self, name)

  def __setattr__(self, name, value):
    self._asker('set', self, name, value)

  def __iter__(self):
    return iter(self._asker('list', self))

  def __eq__(self, other):
    raise TypeError('the solution returned an object, which cannot be compared with the expected value')

  __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __eq__
  __hash__ = None


class Asker:
  """Sends requests to the solution's process, and waits for each reply."""

  def __init__(self, requests, replies):
    self._requests, self._replies = requests, replies

  def __call__(self, what, *arguments):
    self.send({'what': what, 'arguments': encode(arguments, self._number_of)})  # noqa: F821  of plain_data.py
    return self.receive()

  def send(self, message):
    try:
      self._requests.write(json.dumps(message).encode() + b'\n')
    except OSError:
      raise RuntimeError('the solution ended before its tests') from None

  def receive(self):
    line = self._replies.readline(_LONGEST_REPLY_BYTES)
    if not line.endswith(b'\n'):
      raise RuntimeError('the solution ended before its tests')
    reply = json.loads(line)
    if 'error' in reply:
      kind = getattr(builtins, str(reply['error']), None)
      is_error = isinstance(kind, type) and issubclass(kind, Exception)
      raise (kind if is_error else RuntimeError)(f'in the solution: {reply["error"]}: {reply["said"]}')
    return decode(reply['value'], lambda number: Remote(self, int(number)))  # noqa: F821  of plain_data.py

  @staticmethod
  def _number_of(value):
    if type(value) is not Remote:
      raise TypeError(f'a test passes {type(value).__name__}, which is not plain data')
    return value._number


def run_tests(solution, tests, names, worker):
  """Runs a solution, then its tests; raises what the tests raise.

  Args:
    solution: its source.
    tests: their source.
    names: of the solution's functions and classes that the tests use.
    worker: the source that runs the solution in its process.
  """
  # Other processes of this user can then neither read nor write this one's memory, nor open its descriptors.
  if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
    raise OSError('the process of the tests cannot be closed to the solution')
  file = sys.argv[0]
  with open(file, 'wb') as program:  # replaces the tests
    program.write(solution.encode('utf-8', 'surrogatepass'))
  asker = _start(worker)
  asker.send({'solution': solution, 'file': file, 'path': sys.path})
  sys.path[:] = [folder for folder in sys.path if folder != os.path.dirname(file)]  # the solution may write modules there
  asker.receive()
  scope = {'__name__': 'tests'} | {name: asker('name', name) for name in names}
  exec(compile(tests, 'tests.py', 'exec', dont_inherit=True), scope)


def _start(worker):
  (their_reads, requests), (replies, their_writes) = os.pipe(), os.pipe()
  ends = (their_reads, their_writes)
  for fd in ends:
    os.set_inheritable(fd, True)
  code = f'{worker}\nanswer_calls({their_reads}, {their_writes})\n'
  os.posix_spawn(sys.executable, [sys.executable, '-S', '-s', '-P', '-B', '-c', code], os.environ)
  for fd in ends:
    os.close(fd)
  return Asker(os.fdopen(requests, 'wb', 0), os.fdopen(replies, 'rb'))
