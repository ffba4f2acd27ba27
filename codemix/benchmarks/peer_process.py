"""Another program that does the same work, in a process of its own, so that both can be measured in turns."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from codemix.errors import UserError

PEERS = Path(__file__).resolve().parents[2] / '.venv-peers' / 'transformers5' / 'bin' / 'python'  # of launch/peers.sh
OFFLINE = {'HF_HUB_OFFLINE': '1', 'TRANSFORMERS_OFFLINE': '1'}


class PeerProcess:
  """A process that answers each line of its input with the seconds that the work of this line took.

  It computes only between a line and its answer.
  """

  def __init__(self, command: Sequence[str | Path], folder: Path):
    """Starts it; what it writes to stderr goes to a file of the folder."""
    self._command, self._errors = command, folder / 'peer_errors.txt'
    with self._errors.open('w') as errors:
      self._process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **OFFLINE}
      )

  def seconds(self, line: str) -> float:
    """The answer to a line. Raises UserError: the process has failed."""
    try:
      self._process.stdin.write(f'{line}\n')
      self._process.stdin.flush()
      return float(self._process.stdout.readline())
    except (OSError, ValueError):
      raise self._failure() from None

  def close(self) -> None:
    """Ends its input and waits until it ends. Raises UserError: the process has failed."""
    try:
      self._process.stdin.close()
    except OSError:
      raise self._failure() from None
    if self._process.wait():
      raise self._failure()

  def stop(self) -> None:
    """Ends it whatever it does; nothing if it has ended."""
    self._process.kill()
    self._process.wait()

  def _failure(self) -> UserError:
    self.stop()
    lines = self._errors.read_text().strip().splitlines() or ['it ended without a message']
    return UserError(f'{" ".join(map(str, self._command[:2]))} failed: {lines[-1]}')
