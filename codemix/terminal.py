"""The standard streams: only results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import codecs
import errno
import functools
import os
import sys

VERBOSE = 'CODEMIX_VERBOSE'  # the environment variable that --verbose sets, for the processes that a verb starts

# Substitutes for the characters that codemix draws, if the encoding of a stream lacks them. Other characters, such as
# a document's, are written as Python escapes, from which they can be read back.
_PLAIN = str.maketrans('█▇▆▅▄▃▂▁→–×…', '#@%*+=-.>-x.')
PLAIN = 'codemix.plain'  # the name of the error handler, in `errors=`


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
  """An error handler of `codecs`: the substitute for characters that cannot be encoded, and the position after them."""
  if not isinstance(error, UnicodeEncodeError):
    raise error
  characters = error.object[error.start : error.end].translate(_PLAIN)
  return characters.encode('ascii', 'backslashreplace').decode('ascii'), error.end


codecs.register_error(PLAIN, _in_plain_characters)


def is_verbose() -> bool:
  """Whether all that libraries write is shown."""
  return bool(os.environ.get(VERBOSE))


def write_in_any_encoding() -> None:
  """Makes the standard streams accept every character in any encoding (`PYTHONIOENCODING`, the locale)."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, 'reconfigure'):  # the stream of a test or a notebook may have no encoding
      stream.reconfigure(errors=PLAIN)


def keep_stdout_for_results(native_to_stderr: bool = False) -> None:
  """Drops what native code writes to stdout (Gloo greets there, once for each mesh), or sends it to stderr.

  Standard streams that are closed at the start are opened on /dev/null, for this process and those that it
  starts. Otherwise the next file to be opened, perhaps a checkpoint, would get their number, and progress
  would be written into it.
  """
  nowhere = os.open(os.devnull, os.O_RDWR)
  while nowhere <= 2:
    os.set_inheritable(nowhere, True)
    nowhere = os.dup(nowhere)
  sys.stderr = sys.stderr or os.fdopen(2, 'w', buffering=1, errors='backslashreplace')
  kept = sys.stdout or os.fdopen(1, 'w', closefd=False)
  # Line-buffered, so that it stays in order with stderr if both go to a file. `shutil` reads the terminal's width from `__stdout__`.
  sys.stdout = sys.__stdout__ = os.fdopen(os.dup(1), 'w', buffering=1, encoding=kept.encoding, errors=kept.errors)
  os.dup2(2 if native_to_stderr else nowhere, 1)
  os.close(nowhere)


def stdout_is_full(error: OSError) -> bool:
  """Whether this error comes from writing results to a full disk."""
  if error.errno not in (errno.ENOSPC, errno.EDQUOT):
    return False
  try:
    sys.stdout.flush()  # the unwritten part is still in its buffer
  except OSError:
    return True
  return False


def drop_output() -> None:
  """Discards the buffer of stdout, which would fail again when the process ends."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@functools.cache
def warn_once(message: str) -> None:
  """Prints a warning to stderr, once per message; worker processes print none, since their parent does."""
  from multiprocessing import parent_process  # 5 ms that `--help` does not need

  if parent_process() is None:
    print(f'warning: {message}', file=sys.stderr, flush=True)
