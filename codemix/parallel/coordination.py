"""JAX's coordination service: waiting at a barrier, and decisions that all processes share."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src import distributed  # no public way to a barrier with a name and a limit, or to keys

from codemix.errors import PeerEnded

TIMEOUT_S = 600
TICK_S = 0.5

Result = TypeVar('Result')
_rounds = itertools.count()  # all processes come to the same ones in the same order


def barrier(name: str, timeout_s: float) -> None:
  """Waits until every process of the run is at the barrier `name`; a single process returns at once.

  Raises PeerEnded: not all came within `timeout_s` seconds; the message names the missing ones.
  """
  client = distributed.global_state.client
  if client is None:
    return
  try:
    _interruptible(lambda: client.wait_at_barrier(name, int(timeout_s * 1000)))
  except jax.errors.JaxRuntimeError as error:
    raise PeerEnded(_barrier_message(name, timeout_s, str(error))) from error


def decide(mine: object, judge: Callable[[list[Any]], Result]) -> Result:
  """Sends each process's value to process 0, and its decision on them to all.

  Raises PeerEnded: a process did not send its value within `TIMEOUT_S` seconds.

  Args:
    mine: JSON.
    judge: the values of all processes, by number -> the decision (JSON); called in process 0 alone.
  """
  state = distributed.global_state
  if state.client is None:
    return judge([json.loads(json.dumps(mine))])
  key = f'codemix/decision/{next(_rounds)}'
  state.client.key_value_set(f'{key}/{state.process_id}', json.dumps(mine))
  if state.process_id == 0:
    values = [_get(f'{key}/{number}', number) for number in range(state.num_processes)]
    state.client.key_value_set(f'{key}/decided', json.dumps(judge(values)))
  return _get(f'{key}/decided', 0)


def from_first(compute: Callable[[], Result], timeout_s: int = TIMEOUT_S) -> Result:
  """`compute()` of process 0 (JSON), in all processes: the others wait for it.

  Raises PeerEnded: process 0 did not send it within `timeout_s` seconds.
  """
  state = distributed.global_state
  if state.client is None:
    return compute()
  key = f'codemix/first/{next(_rounds)}'
  if state.process_id == 0:
    result = compute()
    state.client.key_value_set(key, json.dumps(result))
    return result
  return _get(key, 0, timeout_s)


def _get(key: str, process: int, timeout_s: int = TIMEOUT_S) -> Any:
  client = distributed.global_state.client
  try:
    return json.loads(_interruptible(lambda: client.blocking_key_value_get(key, timeout_s * 1000)))
  except jax.errors.JaxRuntimeError as error:
    raise PeerEnded(f'process {process} did not say what it runs in {timeout_s} s: see its log.') from error


def _interruptible(wait: Callable[[], Result]) -> Result:
  """`wait()` in a thread: Ctrl-C ends the wait at once, which in the service's calls it would not."""
  ended: concurrent.futures.Future[Result] = concurrent.futures.Future()

  def run() -> None:
    try:
      ended.set_result(wait())
    except Exception as error:
      ended.set_exception(error)

  # A daemon: the threads of an executor would delay the exit of the process.
  threading.Thread(target=run, daemon=True).start()
  # In short waits: a signal that comes just before a wait does not end that wait; it is raised after it.
  while not concurrent.futures.wait([ended], TICK_S).done:
    pass
  return ended.result()


def _barrier_message(name: str, timeout_s: float, error: str) -> str:
  reached = re.search(r'reached the barrier: (\d+)/(\d+)', error)
  missing = re.search(r'timed out task names:\s*((?:\S*\d+\s+)+)', error)
  if not reached:
    return f"barrier '{name}': {error.splitlines()[0]}"
  message = f"barrier '{name}': {reached[1]} of {reached[2]} processes came in {timeout_s:g} s"
  return message + (f'; missing: {", ".join(missing[1].split())}' if missing else '')
