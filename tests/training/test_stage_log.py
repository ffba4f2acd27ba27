"""A stage's metrics files: what is read on the host, and their end, also on a disk that is full."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codemix.errors import Preempted, UserError
from codemix.training import stage_log as stage_log_module
from codemix.training.drawn import Drawn
from codemix.training.metrics import JsonLines, TensorBoard
from codemix.training.rewinds import SpikeGuard
from codemix.training.stage_log import StageLog

NAMES = ('text', 'code', 'never')


def stage_log(folder: Path | None, realised: dict | None = None, *, tensorboard: bool = True) -> StageLog:
  stage = SimpleNamespace(name='stage', batch=4, skips=None)
  plan = SimpleNamespace(first_step=0, stage=stage, rates=[0.5] * 9, hash='0' * 40)
  realised = realised or {name: dict.fromkeys(('rows', 'loss_tokens', 'documents'), 0) for name in NAMES}
  guard = SpikeGuard(None, (), 9, 'stage')
  return StageLog(plan, folder, NAMES, 0, Drawn(realised), guard, peak_tflops=None, flops_per_token=1.0, tensorboard=tensorboard)


def values() -> dict[str, np.ndarray]:
  return {
    'loss': np.float32(1.5),
    'grad_norm': np.float32(0.5),
    'source': np.array([1, 0, 1, 1]),
    'read': np.array([3, 4, 0, 2]),
    'tokens': np.array([3, 4, 0, 2]),
    'documents': np.array([1, 2, 0, 1]),
    'nll': np.array([3.0, 8.0, 0.0, 7.0], np.float32),
  }


def fill(monkeypatch) -> None:
  """From here on nothing that was buffered finds room."""

  def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr('os.fsync', no_room)


@pytest.mark.parametrize('kind', [JsonLines, TensorBoard])
def test_a_file_that_finds_no_room_when_it_is_closed_is_a_mistake_the_user_can_fix(kind, tmp_path, monkeypatch):
  file = kind(tmp_path / 'log', 0)
  fill(monkeypatch)
  with pytest.raises(UserError, match='the disk is full'):
    file.close()


@pytest.mark.parametrize('broken', [0, 1, 2])
def test_every_file_is_closed_also_where_one_cannot_be(broken, tmp_path, monkeypatch):
  log = stage_log(tmp_path)
  files, closed = [*log.lines, *log.boards], []
  for number, file in enumerate(files):
    monkeypatch.setattr(file, 'close', closing(number, closed, broken))
  with pytest.raises(UserError, match='no room'):
    log.close()
  assert sorted(closed) == [0, 1, 2]


def closing(number: int, closed: list[int], broken: int):
  def close() -> None:
    closed.append(number)
    if number == broken:
      raise UserError('no room')

  return close


@pytest.mark.parametrize('error', [UserError('4 MiB are needed'), Preempted('stopped'), KeyError('a bug')], ids=repr)
def test_files_that_cannot_be_closed_hide_no_error_that_is_under_way(tmp_path, monkeypatch, error):
  with pytest.raises(type(error)) as raised, stage_log(tmp_path):
    fill(monkeypatch)
    raise error
  assert raised.value is error


def test_files_that_cannot_be_closed_end_a_stage_that_went_well(tmp_path, monkeypatch):
  with pytest.raises(UserError, match='the disk is full'), stage_log(tmp_path):
    fill(monkeypatch)


def test_the_first_line_is_written_at_once_and_later_ones_before_a_save_or_within_a_second(tmp_path, monkeypatch):
  clock = SimpleNamespace(now=0.0)
  monkeypatch.setattr(stage_log_module, 'time', SimpleNamespace(monotonic=lambda: clock.now))
  written = lambda: [json.loads(line)['step'] for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  with stage_log(tmp_path) as log:
    clock.now += 0.1
    log.write(0, values())
    assert written() == [1]
    clock.now += 0.1
    log.write(1, values())
    clock.now += 0.8
    log.write(2, values())
    assert written() == [1]
    clock.now += 0.2
    log.write(3, values())
    assert written() == [1, 2, 3, 4]
    clock.now += 0.1
    log.write(4, values())
    log.flush()
    assert written() == [1, 2, 3, 4, 5]
    clock.now += 0.1
    log.write(5, values())
  assert written() == [1, 2, 3, 4, 5, 6]


def test_tokens_go_on_from_the_ledger_and_every_step_adds_to_both(tmp_path):
  before = {name: {'rows': 2, 'loss_tokens': 10 * i, 'documents': 1} for i, name in enumerate(NAMES)}
  with stage_log(tmp_path, before, tensorboard=False) as log:
    log.write(0, values())
    log.write(1, values())
  lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert [line['tokens'] for line in lines] == [39, 48]
  assert lines[0]['loss/code'] == 2.0  # over the tokens of its rows
  assert (lines[0]['tokens/text'], lines[0]['tokens/code']) == (4, 5)
  assert log.drawn.realised['code'] == {'rows': 2 + 2 * 2, 'loss_tokens': 10 + 2 * 5, 'documents': 1 + 2 * 2}
  assert log.drawn.realised['never'] == {'rows': 2, 'loss_tokens': 20, 'documents': 1}
