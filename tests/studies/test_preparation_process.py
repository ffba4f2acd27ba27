"""What the process that prepares says, as the one that trains passes it on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codemix.errors import UserError
from codemix.studies import preparation

SAYS = """#!/bin/sh
echo "warning: a.gin, line 2: b has no effect." >&2
echo "prepare: wiki train" >&2
echo "warning: the file system has no locks" >&2
exit 0
"""


@pytest.fixture
def preparing(monkeypatch, tmp_path):
  """Puts a script in the place of the process that prepares."""

  def put(script: str) -> None:
    path = Path(tmp_path / 'python')
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(path))
    monkeypatch.setattr(preparation, 'missing', lambda study, data: [('wiki', 'train')])

  return put


def test_what_was_said_of_the_gin_files_is_said_once_and_all_else_is_passed_on(preparing, capfd):
  preparing(SAYS)
  preparation.prepare_in_own_process(None, None, [], ['warning: a.gin, line 2: b has no effect.'])
  assert capfd.readouterr().err.splitlines() == ['prepare: wiki train', 'warning: the file system has no locks']


def test_the_reason_for_which_it_ends_is_raised(preparing):
  preparing('#!/bin/sh\necho "codemix prepare: no file matches" >&2\nexit 2\n')
  with pytest.raises(UserError, match='^no file matches$'):
    preparation.prepare_in_own_process(None, None, [])
