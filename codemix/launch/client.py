"""Calls the client of an engine: kubectl, xpk or sky."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from codemix.errors import CodemixError, UserError

_INSTALL = {
  'kubectl': 'print the manifest with --dry_run, and apply it elsewhere',
  'xpk': 'install it with `pip install xpk`, or print the job with --dry_run',
  'sky': "install it with `pip install 'skypilot[gcp]'`, or print the job with --dry_run",
}


def said(words: Sequence[str], given: str = '') -> str:
  """What a client prints. Raises UserError if it is not installed, and CodemixError with its words if it fails.

  Args:
    given: what it reads from stdin.
  """
  ran = _run(words, input=given, capture_output=True)
  if ran.returncode:
    lines = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-3:]
    raise CodemixError(f'{_ended(words, ran.returncode)}: {" ".join(map(str.strip, lines))}')
  return ran.stdout


def show(words: Sequence[str]) -> None:
  """Runs a client that shows its own progress, and may ask. Raises as `said`."""
  if code := _run(words).returncode:
    raise CodemixError(f'{_ended(words, code)}.')


def _run(words: Sequence[str], **streams: object) -> subprocess.CompletedProcess:
  try:
    return subprocess.run(words, text=True, check=False, **streams)
  except FileNotFoundError:
    raise UserError(f'there is no {words[0]} on this machine: {_INSTALL[words[0]]}.') from None


def _ended(words: Sequence[str], code: int) -> str:
  return f'`{shlex.join(words[:3])}` ended with exit code {code}'
