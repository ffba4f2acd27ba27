"""What a terminal or a log file sees of training and scoring."""

from __future__ import annotations

import contextlib
import io

import pytest

from codemix.training import progress
from codemix.training.progress import scoring_progress, stage_progress


class Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


@pytest.fixture(autouse=True)
def wide(monkeypatch) -> None:
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '160')


def test_before_the_first_step_a_terminal_is_shown_no_loss():
  with contextlib.redirect_stderr(Terminal()) as terminal, stage_progress('balanced', 1234, 0):
    pass
  said = terminal.getvalue()
  assert 'step 0 of 1,234' in said
  assert 'nan' not in said and 'loss' not in said


def test_a_terminal_is_shown_the_loss_and_the_speed_of_the_last_step():
  with contextlib.redirect_stderr(Terminal()) as terminal, stage_progress('balanced', 1234, 0) as show:
    show(7, 3.25, 12345.0)
  assert 'step 7 of 1,234, loss 3.250, 12,345 tokens/s, ETA' in terminal.getvalue()


def test_a_terminal_is_shown_how_many_documents_are_scored():
  with contextlib.redirect_stderr(Terminal()) as terminal, scoring_progress('cooldown', '[code]', 4000) as show:
    show(1200)
  said = terminal.getvalue()
  assert 'cooldown scored on [code]' in said and '1,200 of 4,000 documents, ETA' in said


def test_a_log_file_gets_the_last_step_and_lines_no_oftener_than_that(capsys):
  with stage_progress('balanced', 3, 0) as show:
    for step in (1, 2, 3):
      show(step, 3.5, 0.0)
  assert capsys.readouterr().err == '  balanced: step 3 of 3, loss 3.500, ETA 0:00:00\n'


def test_a_log_file_gets_a_line_of_a_long_evaluation_and_none_of_a_short_one(capsys, monkeypatch):
  with scoring_progress('cooldown', 'code', 4) as show:
    show(4)
  assert capsys.readouterr().err == ''
  clock = iter([0.0, 20.0, 21.0])
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
  with scoring_progress('cooldown', 'code', 4000) as show:
    show(1000)
    show(1100)
  assert capsys.readouterr().err == '  cooldown scored on code: 1,000 of 4,000 documents, ETA 0:01:00\n'


def test_one_process_of_several_shows_it(capsys, monkeypatch):
  monkeypatch.setattr(progress, 'LINE_EVERY_S', 0.0)
  with scoring_progress('cooldown', 'code', 4, shown=False) as show:
    show(4)
  assert capsys.readouterr().err == ''
