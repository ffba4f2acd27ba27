"""Processes start together, or learn which is missing."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from codemix.errors import CodemixError, PeerEnded, UserError
from codemix.parallel import coordination, processes, rendezvous


@pytest.fixture
def port():
  with socket.socket() as probe:
    probe.bind(('', 0))
    return probe.getsockname()[1]


def run_rendezvous(port, count, callers, timeout_s=3.0):
  """The error message (or None) of process 0 and of each caller, given as (index, count)."""
  outcomes = {}

  def attempt(name, action, *arguments):
    try:
      action(*arguments, timeout_s)
      outcomes[name] = None
    except CodemixError as error:
      outcomes[name] = f'{type(error).__name__}: {error}'

  threads = [threading.Thread(target=attempt, args=(0, rendezvous.lead, port, count))] + [
    threading.Thread(
      target=attempt, args=((number, index), rendezvous.join, 'localhost', port, its_count, index)
    )
    for number, (index, its_count) in enumerate(callers)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(timeout=30)
    assert not thread.is_alive()
  return list(outcomes.values())


def test_when_all_have_joined_all_continue(port):
  start = time.monotonic()
  assert run_rendezvous(port, 4, [(1, 4), (2, 4), (3, 4)], timeout_s=60) == [None] * 4
  assert time.monotonic() - start < 30


def test_the_missing_are_named_to_all(port):
  outcomes = run_rendezvous(port, 5, [(1, 5), (3, 5)], timeout_s=3)
  assert outcomes == ['PeerEnded: 3 of 5 processes joined in 3 s; missing: 2, 4.'] * 3


def test_two_of_one_number_are_refused(port):
  outcomes = run_rendezvous(port, 4, [(1, 4), (1, 4)])
  assert outcomes == ['UserError: two processes were started as number 1: give each its own.'] * 3


def test_disagreement_on_the_number_of_processes_is_refused(port):
  outcomes = run_rendezvous(port, 3, [(1, 2)])
  assert len(outcomes) == 2
  assert all(
    re.match(r'UserError: process 1 \(on .*, pid \d+\) was started as one of 2, process 0 as one of 3', outcome)
    for outcome in outcomes
  )


def test_a_process_that_was_killed_and_started_again_in_time_is_let_in(port):
  first = subprocess.Popen(
    [sys.executable, '-c', f'from codemix.parallel import rendezvous; rendezvous.join("localhost", {port}, 3, 1, 60)'],
    cwd=pathlib.Path(__file__).parents[2],
  )
  threading.Timer(4.0, first.kill).start()
  for delay, index in ((6.0, 1), (7.0, 2)):
    threading.Timer(delay, rendezvous.join, ('localhost', port, 3, index, 60)).start()
  assert rendezvous.lead(port, 3, 60)[0].keys() == {1, 2}


def test_a_stranger_on_the_port_is_ignored(port):
  def knock():
    time.sleep(0.3)
    with socket.create_connection(('localhost', port)) as connection:
      connection.sendall(b'GET / HTTP/1.1\r\n\r\n')
      time.sleep(0.5)

  stranger = threading.Thread(target=knock)
  stranger.start()
  late = threading.Timer(1.0, rendezvous.join, ('localhost', port, 2, 1, 10))
  late.start()
  assert rendezvous.lead(port, 2, 10)[0].keys() == {1}
  stranger.join()
  late.join()


def test_without_process_0_the_address_is_named(port):
  with pytest.raises(PeerEnded, match=f'process 1 did not reach process 0 at localhost:{port}'):
    rendezvous.join('localhost', port, 2, 1, 0.5)


def test_a_port_in_use_is_named(port, monkeypatch):
  monkeypatch.setattr(rendezvous, 'BIND_SECONDS', 0.3)
  with (
    socket.create_server(('', port)),
    pytest.raises(UserError, match=f'port {port} is in use on process 0'),
  ):
    rendezvous.lead(port, 2, 5)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('localhost', 2, 0), "coordinator_address is 'localhost': write it as host:port"),
    (('localhost:0', 2, 0), 'with a port from 1 to 65535'),
    (('localhost:70000', 2, 0), 'with a port from 1 to 65535'),
    (('localhost:80', 0, 0), 'num_processes is 0: it is at least 1'),
    (('localhost:80', 2, -1), 'process_id is -1: with 2 processes it is 0 to 1'),
    (('localhost:80', 2, 2), 'process_id is 2: with 2 processes it is 0 to 1'),
    ((None, 2, 0), 'coordinator_address is not given'),
  ],
)
def test_wrong_arguments_are_named(arguments, message):
  with pytest.raises(UserError, match=message):
    processes.initialize(*arguments, timeout_s=1)


def test_a_single_process_does_not_wait_at_a_barrier():
  coordination.barrier('anything', timeout_s=0.01)


WORKER = """
import json, sys, time
index, port = int(sys.argv[1]), sys.argv[2]
import jax, numpy as np
from codemix.errors import CodemixError
from codemix.parallel import coordination, processes
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding

processes.initialize(f'localhost:{port}', 2, index, timeout_s=60)
coordination.barrier('both are here', timeout_s=60)
coordination.barrier('both are here', timeout_s=60)
rows = batch_sharding(make_mesh(MeshConfig()))
local = np.full((jax.local_device_count(), 3), index + 1.0)
total = float(jax.make_array_from_process_local_data(rows, local).sum())
message = None
if index == 0:
  try:
    coordination.barrier('only one comes', timeout_s=0.5)
  except CodemixError as error:
    message = str(error)
coordination.barrier('the end', timeout_s=60)
print(json.dumps({'processes': jax.process_count(), 'total': total, 'message': message}))
if index == 1:
  time.sleep(3)  # process 0 has long wanted to leave
  sys.stdout.write('x')
  processes.leave(7)
processes.leave(0)
"""


def test_two_processes_compute_together_and_wait_by_name(port):
  workers = [
    subprocess.Popen(
      [sys.executable, '-c', WORKER, str(index), str(port)],
      cwd=pathlib.Path(__file__).parents[2],
      stdout=subprocess.PIPE,
      text=True,
    )
    for index in (0, 1)
  ]
  outputs = [worker.communicate(timeout=120)[0].splitlines() for worker in workers]
  # Before it stand Gloo's greetings, each with its line end apart where two threads write.
  reports = [json.loads(next(line for line in lines if line.startswith('{'))) for lines in outputs]
  assert [report['processes'] for report in reports] == [2, 2]
  assert [report['total'] for report in reports] == [8 * 3 * (1.0 + 2.0)] * 2
  assert reports[0]['message'] == (
    "barrier 'only one comes': 1 of 2 processes came in 0.5 s; missing: 1"
  )
  assert [worker.returncode for worker in workers] == [0, 7]
  assert outputs[1][-1] == 'x'
