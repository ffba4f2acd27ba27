"""What libraries warn of is shown, and what they note only with --verbose."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.runs import ROOT, environment

# A verb during which a library warns, logs a warning, and notes something, from Python and from native code.
CODE = """
import os, sys
from codemix import cli
import codemix.commands.verify

def run(arguments):
  import logging, warnings
  import absl.logging
  warnings.warn('an odd value')
  logging.getLogger('some.library').warning('an old format')
  absl.logging.info('a note')
  os.write(1, b'native note')
  print('the result')

codemix.commands.verify.run = run
sys.argv = ['codemix', 'verify', 'folder', *sys.argv[1:]]
cli.entry()
"""


@pytest.mark.parametrize('flags', [(), ('--verbose',)], ids=['plain', 'verbose'])
def test_warnings_are_shown_and_notes_only_with_verbose(flags):
  ran = subprocess.run(
    [sys.executable, '-c', CODE, *flags], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
  )
  assert ran.stdout == 'the result\n'
  assert 'UserWarning: an odd value' in ran.stderr
  assert 'an old format' in ran.stderr
  for note in ('a note', 'native note'):
    assert (note in ran.stderr) == bool(flags)
