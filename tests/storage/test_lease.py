"""A folder of a bucket has one owner: the lease ends with its process, and an owner that lost it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from codemix.errors import PeerEnded, UserError
from codemix.storage import held, lease, locked, require_unlocked, write_bytes

HOLDER = """
import sys, time
from codemix.storage import as_path, lease, locked
lease.BEAT_S, lease.EXPIRY_S = float(sys.argv[2]), 2.0
with locked(as_path(sys.argv[1]), 'training'):
  print('held', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(bucket_folder):
  """Another process that holds the lease."""
  with subprocess.Popen([sys.executable, '-c', HOLDER, str(bucket_folder), '0.2'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == 'held\n', process.stderr.read()
    yield process
    process.kill()


def owner_of(folder) -> dict:
  return json.loads((folder / lease.FILE).read_bytes())


def test_a_second_process_is_refused_with_the_name_of_the_first(bucket_folder, holder):
  for hold in (lambda: locked(bucket_folder, 'training').__enter__(), lambda: require_unlocked(bucket_folder, 'training')):
    with pytest.raises(UserError, match=rf'another process is training in {bucket_folder} \(process {holder.pid} on .*\)\. Wait for it'):
      hold()
  assert holder.poll() is None


def test_the_lease_of_a_killed_process_of_this_machine_is_taken_at_once(bucket_folder, holder, monkeypatch):
  monkeypatch.setattr(lease, 'EXPIRY_S', 1e6)
  holder.kill()
  holder.wait()
  with locked(bucket_folder, 'training'):
    assert owner_of(bucket_folder)['pid'] == os.getpid()
  assert not (bucket_folder / lease.FILE).exists()


def test_the_lease_of_another_machine_is_taken_when_its_heartbeat_has_ended(bucket_folder, monkeypatch):
  monkeypatch.setattr(lease, 'EXPIRY_S', 1.0)
  monkeypatch.setattr(lease, 'POLL_S', 0.1)
  elsewhere = {'host': 'node-7', 'boot': 'x', 'pid': 4711, 'started': '1', 'token': 'theirs', 'doing': 'training', 'beat': 1}
  (bucket_folder / lease.FILE).write_bytes(json.dumps(elsewhere).encode())
  began = time.monotonic()
  with locked(bucket_folder, 'training'):
    assert time.monotonic() - began >= 1.0 and owner_of(bucket_folder)['token'] != 'theirs'


def test_the_lease_of_another_machine_that_beats_is_respected(bucket_folder, monkeypatch):
  monkeypatch.setattr(lease, 'EXPIRY_S', 5.0)
  monkeypatch.setattr(lease, 'POLL_S', 0.1)
  ended = threading.Event()

  def beat():
    count = 0
    while not ended.wait(0.2):
      count += 1
      (bucket_folder / lease.FILE).write_bytes(json.dumps({'host': 'node-7', 'boot': 'x', 'pid': 4711, 'token': 'theirs', 'beat': count}).encode())

  thread = threading.Thread(target=beat)
  thread.start()
  try:
    while not (bucket_folder / lease.FILE).exists():
      time.sleep(0.05)
    with pytest.raises(UserError, match='process 4711 on node-7'), locked(bucket_folder, 'training'):
      pass
  finally:
    ended.set()
    thread.join()


def test_one_of_many_that_come_at_once_gets_the_lease(bucket_folder, monkeypatch):
  monkeypatch.setattr(lease, '_is_here', lambda owner: False)
  monkeypatch.setattr(lease, 'EXPIRY_S', 0.5)
  monkeypatch.setattr(lease, 'POLL_S', 0.05)
  monkeypatch.setattr(lease, 'BEAT_S', 0.1)
  (bucket_folder / lease.FILE).write_bytes(json.dumps({'host': 'node-7', 'boot': 'x', 'pid': 1, 'token': 'dead', 'beat': 1}).encode())
  outcomes, together = [], threading.Barrier(6)

  def take():
    together.wait()
    try:
      with locked(bucket_folder, 'training'):
        outcomes.append('held')
        time.sleep(3)
    except UserError:
      outcomes.append('refused')

  threads = [threading.Thread(target=take) for _ in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(outcomes) == ['held', *['refused'] * 5]


def test_an_owner_that_was_stopped_too_long_ends_when_it_finds_another_one(bucket_folder, holder, monkeypatch):
  monkeypatch.setattr(lease, '_is_here', lambda owner: False)
  monkeypatch.setattr(lease, 'EXPIRY_S', 1.0)
  monkeypatch.setattr(lease, 'POLL_S', 0.1)
  holder.send_signal(signal.SIGSTOP)
  with locked(bucket_folder, 'training'):
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(20) == PeerEnded.exit_code  # a new start helps: it goes on, or is refused by name
    assert f'process {os.getpid()} on ' in holder.stderr.read()
    assert owner_of(bucket_folder)['pid'] == os.getpid()


WRITER = """
import sys, threading
from codemix.storage import as_path, held, lease, locked, remove, whole, write_bytes
lease.BEAT_S, lease.EXPIRY_S = 1e6, 1.0  # its next heartbeat is far away
folder, how = as_path(sys.argv[1]), sys.argv[2]

def wait():
  print('ready', flush=True)
  sys.stdin.readline()

with locked(folder, 'training'):
  write_bytes(folder / 'done.json', b'first')
  if how == 'between':  # it is stopped after it has asked for the lease, and before its put
    require = held.HELD[str(folder)]
    held.HELD[str(folder)] = lambda: (require(), wait(), held.HELD.update({str(folder): require}))
  else:
    wait()
  if how == 'remove':
    remove(folder / 'done.json')
  write_bytes(folder / 'done.json', b'late')
  print('written', flush=True)
"""


@pytest.mark.parametrize('how', ['before', 'between', 'remove'])
def test_an_owner_that_was_taken_over_changes_nothing_even_before_its_next_heartbeat(bucket_folder, how, monkeypatch):
  monkeypatch.setattr(lease, '_is_here', lambda owner: False)
  monkeypatch.setattr(lease, 'EXPIRY_S', 1.0)
  monkeypatch.setattr(lease, 'POLL_S', 0.1)
  done = bucket_folder / 'done.json'
  with subprocess.Popen([sys.executable, '-c', WRITER, str(bucket_folder), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
    try:
      assert writer.stdout.readline() == 'ready\n', writer.stderr.read()
      with locked(bucket_folder, 'training'):
        assert done.read_bytes() == b'first'
        write_bytes(done, b'second')
        said, error = writer.communicate('\n', timeout=30)
        assert writer.returncode == PeerEnded.exit_code and said == '' and f'process {os.getpid()} on ' in error
        assert done.read_bytes() == b'second'
    finally:
      writer.kill()


def test_a_write_is_made_again_after_another_process_of_the_run_wrote_the_same_file(bucket_folder, monkeypatch):
  path = bucket_folder / 'shared.json'
  with locked(bucket_folder, 'training'):
    require, others = held.HELD[str(bucket_folder)], [b'2', b'1']
    monkeypatch.setitem(held.HELD, str(bucket_folder), lambda: (require(), others and path.fs.pipe_file(path.path, others.pop())))
    write_bytes(path, b'mine')
  assert path.read_bytes() == b'mine' and not others and not held.is_held(path)
