"""The loop beside its step: compiled once, fed ahead, waiting for no step but where a checkpoint is due."""

from __future__ import annotations

import gc
import json
import struct
import sys
from pathlib import Path

import jax
import pytest

import codemix
from codemix.studies import serial
from codemix.training import loop, metrics
from codemix.training.garbage import frozen_gc
from codemix.training.metrics import TensorBoard
from tests import tiny_study
from tests.in_process import use_one_device

STEPS, SAVE_EVERY = 6, 4


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[list, list, Path]:
  """What happened, in order, in a run of three stages; the step programs; the output folder."""
  root = tmp_path_factory.mktemp('loop')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  events, programs = [], []
  make_train_step, write, save = loop.make_train_step, loop.StageLog.write, loop.Checkpoints.save

  def make_recording_step(*arguments):
    train_step = make_train_step(*arguments)
    programs.append(train_step)

    def step(state, batch, rate):
      events.append(('step', all(isinstance(a, jax.Array) and a.is_fully_addressable for a in batch.values())))
      return train_step(state, batch, rate)

    return step

  def recording_write(*arguments):
    events.append(('write', arguments[1]))
    return write(*arguments)

  def recording_save(checkpoints, step, *arguments):
    events.append(('save', step))
    return save(checkpoints, step, *arguments)

  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    patch.setattr(serial, 'KEPT', sys.maxsize)  # what earlier tests of this process compiled is not given up in the middle
    patch.setattr(loop, 'make_train_step', make_recording_step)
    patch.setattr(loop.StageLog, 'write', recording_write)
    patch.setattr(loop.Checkpoints, 'save', recording_save)
    study = tiny_study.study(staged=tiny_study.balanced_to_text(STEPS))
    codemix.run_study(study, data, tiny_study.runtime(root / 'run', save_every=SAVE_EVERY, tensorboard=True))
  return events, programs, root / 'run'


def test_one_program_is_compiled_for_all_steps_of_all_stages(ran):
  _, programs, _ = ran
  assert len(programs) == 3
  assert len(set(map(id, programs))) == 1
  assert programs[0]._cache_size() == 1


def test_a_batch_is_on_the_device_before_its_step_is_called(ran):
  events, _, _ = ran
  on_device = [detail for what, detail in events if what == 'step']
  assert on_device == [True] * (2 * STEPS + STEPS // 2)


def test_the_loop_waits_for_a_step_only_when_others_are_under_way_or_a_save_is_due(ran):
  events, _, _ = ran
  started = written = 0
  for what, detail in events[: events.index(('save', STEPS)) + 1]:  # of the first stage
    if what == 'step':
      started += 1
      assert started - written <= loop.IN_FLIGHT + 1
    elif what == 'write':
      assert detail == written
      assert started - written > loop.IN_FLIGHT or started in (SAVE_EVERY, STEPS)
      written += 1
    else:  # all metrics of what is saved are there
      assert detail == started == written
  assert started == STEPS


def test_tensorboard_mirrors_the_metrics(ran):
  for folder in ran[2].glob('stages/*'):
    [path] = (folder / 'tensorboard').iterdir()
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    shown = {event.step: values_of(event) for event in events_of(path) if event.HasField('summary')}
    assert list(shown) == [line['step'] for line in lines]
    for line in lines:
      for key, value in line.items():
        if key not in ('step', 'stage_step'):
          assert shown[line['step']][key] == pytest.approx(value)


def test_tensorboard_is_told_to_forget_the_steps_after_the_checkpoint(tmp_path):
  board = TensorBoard(tmp_path, after_step=7)
  board.append({'step': 8, 'loss': 1.5, 'loss/a source: 1': 2.5})
  board.close()
  [path] = tmp_path.iterdir()
  version, purge, record = events_of(path)
  assert version.file_version == 'brain.Event:2'
  assert (purge.step, purge.session_log.status) == (8, purge.session_log.START)
  assert values_of(record) == {'loss': 1.5, 'loss/a_source__1': 2.5}


def test_tensorboard_shows_a_running_stage(tmp_path, monkeypatch):
  board = TensorBoard(tmp_path, after_step=0)
  monkeypatch.setattr(metrics, 'BOARD_FLUSH_S', 0.0)
  board.append({'step': 1, 'loss': 1.5})
  [path] = tmp_path.iterdir()
  assert values_of(list(events_of(path))[-1]) == {'loss': 1.5}
  board.close()


def events_of(path: Path):
  """The records of an event file: length, its checksum, content, its checksum."""
  from tensorboardX.proto.event_pb2 import Event

  content = path.read_bytes()
  while content:
    [size] = struct.unpack('<Q', content[:8])
    yield Event.FromString(content[12 : 12 + size])
    content = content[16 + size :]


def values_of(event) -> dict[str, float]:
  return {value.tag: value.simple_value for value in event.summary.value}


def test_the_garbage_collector_passes_over_what_was_there_before_and_takes_it_up_again_after():
  before = gc.get_freeze_count()
  with frozen_gc():
    assert gc.get_freeze_count() > before + 1000
    assert len(gc.get_objects()) < 1000
  assert gc.get_freeze_count() == 0
