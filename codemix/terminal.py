"""What a command writes where: results alone to stdout, what it says to stderr, what libraries write there to nowhere."""

from __future__ import annotations

import codecs
import errno
import os
import sys

VERBOSE = 'CODEMIX_VERBOSE'  # the environment variable that --verbose sets, for the processes that a verb starts

# What codemix itself draws, for a terminal or file whose encoding lacks it. Anything else, such as the text of a
# document, is written as Python's escape, from which it can be read back.
_PLAIN = str.maketrans('█▇▆▅▄▃▂▁→–×…', '#@%*+=-.>-x.')
PLAIN = 'codemix.plain'  # the name of the error handler, in `errors=`


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
  """An error handler of `codecs`: what to write for characters that cannot be encoded, and where to go on."""
  if not isinstance(error, UnicodeEncodeError):
    raise error
  characters = error.object[error.start : error.end].translate(_PLAIN)
  return characters.encode('ascii', 'backslashreplace').decode('ascii'), error.end


codecs.register_error(PLAIN, _in_plain_characters)


def is_verbose() -> bool:
  """Whether all that libraries write is shown."""
  return bool(os.environ.get(VERBOSE))


def write_in_any_encoding() -> None:
  """Lets the standard streams take every character, whatever their encoding (`PYTHONIOENCODING`, the locale)."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, 'reconfigure'):  # what a test or a notebook puts there may have no encoding
      stream.reconfigure(errors=PLAIN)


def keep_stdout_for_results(native_to_stderr: bool = False) -> None:
  """Drops what native code writes to stdout (Gloo greets there, once for each mesh), or sends it to stderr.

  A standard stream that was closed at the start is one to nowhere, here and in the processes that
  this one starts: its number would otherwise be that of the next file to be opened, a checkpoint's
  perhaps, and what is meant for the terminal would be written into it.
  """
  nowhere = os.open(os.devnull, os.O_RDWR)
  while nowhere <= 2:
    os.set_inheritable(nowhere, True)
    nowhere = os.dup(nowhere)
  sys.stderr = sys.stderr or os.fdopen(2, 'w', buffering=1, errors='backslashreplace')
  kept = sys.stdout or os.fdopen(1, 'w', closefd=False)
  # Line by line: in step with stderr also where both go to a file. The width of a terminal is asked of `__stdout__`.
  sys.stdout = sys.__stdout__ = os.fdopen(os.dup(1), 'w', buffering=1, encoding=kept.encoding, errors=kept.errors)
  os.dup2(2 if native_to_stderr else nowhere, 1)
  os.close(nowhere)


def stdout_is_full(error: OSError) -> bool:
  """Whether the error is that of a result for which the disk has no room."""
  if error.errno not in (errno.ENOSPC, errno.EDQUOT):
    return False
  try:
    sys.stdout.flush()  # what could not be written is still there
  except OSError:
    return True
  return False


def drop_output() -> None:
  """What stdout still holds goes nowhere: it would fail once more when the process ends."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
