"""Reads a mutated file under limits of time and memory, and says whether the outcome is allowed."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import re
import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.errors import CodemixError
from tests.fuzz.mutations import Mutation, apply

CPU_S = 10.0  # of one input, in all threads; on a busy machine it may take longer than that
LIMIT_S = 60.0  # of one input by the clock, for one that waits
HARD_LIMIT_S = 120  # after it the process ends with its stacks: native code does not see the first limit
MEMORY_BYTES = 2 * 2**30  # of address space that one input may add; the largest seed has a few MiB


class Slow(BaseException):
  """An input took longer than LIMIT_S or CPU_S. No Exception, so that nothing handles it."""


@dataclasses.dataclass(frozen=True)
class Input:
  """A valid file, and what reads it.

  Attributes:
    name: in recipes and messages.
    path: the file.
    form: of `mutations.draw`.
    read: reads it as a verb would; returns what was read.
    sealed: whether a digest covers the file: what is read must then be what was written.
    reseal: makes the digests fit the file again, as its author could.
    also: the files that `reseal` writes.
    share: of the mutations that a cheap input gets.
    says: a pattern of errors that need not name the file, since they name what is missing in all files.
  """

  name: str
  path: Path
  form: str
  read: Callable[[], object]
  sealed: bool = False
  reseal: Callable[[], None] | None = None
  also: Sequence[Path] = ()
  share: float = 1.0
  says: str = ''


REFUSED, EQUAL, CHANGED = 'refused', 'equal', 'changed'


def outcome(given: Input, mutation: Mutation, expected: object) -> str:
  """REFUSED, EQUAL or CHANGED; or what is wrong, in words. The file is afterwards as it was.

  Args:
    expected: fingerprint of what the whole file gives.
  """
  before = {path: path.read_bytes() for path in (given.path, *given.also)}
  content = apply(mutation, before[given.path])
  if content == before[given.path]:
    return EQUAL
  given.path.write_bytes(content)
  try:
    if given.reseal:
      with contextlib.suppress(ValueError, RecursionError):  # nothing to seal where it is no JSON any more
        given.reseal()
    with _limits():
      found = fingerprint(given.read())
  except CodemixError as error:
    return _refusal(given, str(error))
  except Slow:
    return f'takes more than {CPU_S:.0f} s of the processors or {LIMIT_S:.0f} s'
  except BaseException as error:
    if isinstance(error, KeyboardInterrupt):
      raise
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = next((frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if '/codemix/' in frame.filename), last)
    return f'{type(error).__name__}: {str(error)[:200]!r} at {where.filename.rpartition("/codemix/")[2]}:{where.lineno}'
  finally:
    for path, whole in before.items():
      path.write_bytes(whole)
  if found == expected:
    return EQUAL
  return 'other data than its digest covers are accepted' if given.sealed else CHANGED


def _refusal(given: Input, message: str) -> str:
  # The file, or the folder of the store, stage or model that it belongs to.
  named = [str(given.path), *map(str, given.path.parents[:4])]
  if '\n' in message:
    return f'an error of several lines: {message[:300]!r}'
  if len(message) > 3000:
    return f'an error of {len(message):,} characters: {message[:300]!r}'
  if given.says and re.search(given.says, message):
    return REFUSED
  return REFUSED if any(place in message for place in named) else f'an error that does not name the file: {message[:300]!r}'


def fingerprint(value: object) -> object:
  """Plain data that are equal if the values are."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return fingerprint({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
  if isinstance(value, dict):
    return [[repr(key), fingerprint(inner)] for key, inner in value.items()]
  if isinstance(value, list | tuple):
    return [fingerprint(inner) for inner in value]
  if hasattr(value, '__array__'):
    array = np.asarray(value)
    return [str(array.dtype), array.shape, array.tobytes() if array.dtype != object else repr(array.tolist())]
  # 2.0 and 2 have one digest (`codemix.identity`), so they are one value here.
  return repr(int(value) if isinstance(value, float) and value.is_integer() else value)


@contextlib.contextmanager
def _limits() -> Iterator[None]:
  def stop(*_: object) -> None:
    raise Slow

  soft, hard = resource.getrlimit(resource.RLIMIT_AS)
  used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
  handlers = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
  faulthandler.dump_traceback_later(HARD_LIMIT_S, exit=True)
  resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, hard))
  signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
  signal.setitimer(signal.ITIMER_PROF, CPU_S)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    faulthandler.cancel_dump_traceback_later()
    for number, handler in handlers.items():
      signal.signal(number, handler)
