"""The process that prepares, as the one that trains passes on what it says, how it ended, and what ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.errors import CodemixError, PeerEnded, Preempted, StorageUnavailable, UserError
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


ENDS = {
  'exit 74': (74, StorageUnavailable),
  'exit 76': (76, PeerEnded),
  'exit 137': (137, CodemixError),
  'exit 1': (1, CodemixError),
  'kill -KILL $$': (137, CodemixError),
  'kill -TERM $$': (143, CodemixError),
  'kill -SEGV $$': (139, CodemixError),
}


@pytest.mark.parametrize('line', ENDS)
def test_its_exit_code_is_passed_on_for_the_launchers(line, preparing):
  preparing(f'#!/bin/sh\necho "codemix prepare: why it ended" >&2\n{line}\n')
  with pytest.raises(CodemixError, match='why it ended') as ended:
    preparation.prepare_in_own_process(None, None, [])
  assert (ended.value.exit_code, type(ended.value)) == ENDS[line]


def test_the_signal_that_ended_it_is_named(preparing):
  preparing('#!/bin/sh\nkill -KILL $$\n')
  with pytest.raises(CodemixError, match='`codemix prepare` was ended by SIGKILL'):
    preparation.prepare_in_own_process(None, None, [])


@contextlib.contextmanager
def signalled(number: int, begun: Path) -> Iterator[None]:
  """Sends this process a signal when a file is there."""

  def send() -> None:
    while not (begun.exists() and begun.read_text()):
      time.sleep(0.01)
    os.kill(os.getpid(), number)

  thread = threading.Thread(target=send)
  thread.start()
  yield
  thread.join()


# The second one does not end when it is asked to.
PREPARES = ('', "trap '' TERM INT")


@pytest.mark.parametrize('ignoring', PREPARES)
@pytest.mark.parametrize(('number', 'error'), [(signal.SIGTERM, Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_ends_it_with_the_one_that_waits_for_it(number, error, ignoring, preparing, monkeypatch, tmp_path):
  monkeypatch.setattr(preparation, 'ENDING_S', 0.5)
  begun, before = tmp_path / 'pid', signal.getsignal(signal.SIGTERM)
  preparing(f'#!/bin/sh\n{ignoring}\necho $$ > {begun}\nwhile :; do sleep 0.1; done\n')
  with signalled(number, begun), pytest.raises(error):
    preparation.prepare_in_own_process(None, None, [])
  with pytest.raises(ProcessLookupError):
    os.kill(int(begun.read_text()), 0)
  assert signal.getsignal(signal.SIGTERM) is before
