"""One process per folder of a bucket: a lease with an owner and a heartbeat.

A lease is an object that its owner writes again every `BEAT_S` seconds, each time on condition that it is as the owner left it. Another
process that has seen it unchanged for `EXPIRY_S` seconds of its own clock takes it over, so clocks need not agree. An owner that
finds its lease taken over, at a heartbeat or before it writes (`held`), ends at once: two processes would write to one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codemix.errors import FolderUnavailable, PeerEnded
from codemix.storage.folders import writing
from codemix.storage.held import HELD
from codemix.storage.holder import Holder
from codemix.storage.paths import key_value_store

FILE = '.lease'
BEAT_S = 10.0
EXPIRY_S = 60.0
POLL_S = 1.0
GIVE_BACK_S = 5.0


@contextlib.contextmanager
def leased(folder: Path, doing: str) -> Iterator[None]:
  """Holds the lease of a folder; it ends with the block, or `EXPIRY_S` after the process.

  Raises UserError: another live process holds it. One that was killed on this machine is noticed at once, on another after `EXPIRY_S`.

  Args:
    doing: what this process does there, for the messages, such as 'training'.
  """
  with writing(folder):
    lease = _Lease(folder, doing)
    lease.take()
  try:
    HELD[str(folder)] = lease.require
    with lease.beating():
      yield
  finally:
    HELD.pop(str(folder), None)
    lease.give_back()


def require_unleased(folder: Path, doing: str) -> None:
  """Raises what `leased` would raise, without taking the lease; it does not wait for one to expire."""
  found = _read(*key_value_store(folder / FILE))
  if found.owner and _is_here(found.owner) and not _has_ended(found.owner):
    raise _is_leased(folder, doing, found.owner)


def lease_holder(folder: Path) -> Holder | None:
  """The process that holds the lease of a folder; None if there is none, or its heartbeat has ended."""
  path = folder / FILE
  found = _read(*key_value_store(path))
  if found.owner is None or _has_ended(found.owner):
    return None
  try:
    silent_s = max(time.time() - path.fs.modified(path.path).timestamp(), 0.0)
  except FileNotFoundError:  # given back just now
    return None
  # Here a live process counts, however late its heartbeat; of others the bucket's clock tells, which is near enough for a report.
  if silent_s > EXPIRY_S and not _is_here(found.owner):
    return None
  return Holder(str(found.owner.get('doing', '')), named(found.owner), silent_s)


class _Found:
  """A lease as it is in the bucket: its generation, and its owner, None where there is none."""

  def __init__(self, result: Any):
    self.generation = result.stamp.generation
    self.owner: dict | None = None
    if result.state == 'value':
      with contextlib.suppress(ValueError):
        owner = json.loads(result.value)
        self.owner = owner if isinstance(owner, dict) else None


class _Lease:
  def __init__(self, folder: Path, doing: str):
    self._folder, self._doing = folder, doing
    self._store, self._key = key_value_store(folder / FILE)
    self._owner = {**this_process(), 'token': secrets.token_hex(8), 'doing': doing}
    self._generation: bytes | None = None  # of what this process wrote last
    self._beats = 0
    self._ended = threading.Event()

  def take(self) -> None:
    """Raises UserError if the owner's heartbeat goes on."""
    found, since = _read(self._store, self._key), time.monotonic()
    while True:
      if found.owner is None or _has_ended(found.owner) or time.monotonic() - since > EXPIRY_S:
        if self._write(found.generation):
          return
      elif _is_here(found.owner):  # its heartbeat need not be waited for
        raise _is_leased(self._folder, self._doing, found.owner)
      else:
        time.sleep(POLL_S)
      before, found = found, _read(self._store, self._key)
      if found.generation != before.generation and found.owner is not None:
        raise _is_leased(self._folder, self._doing, found.owner)

  @contextlib.contextmanager
  def beating(self) -> Iterator[None]:
    thread = threading.Thread(target=self._beat, name='lease', daemon=True)
    thread.start()
    try:
      yield
    finally:
      self._ended.set()
      thread.join(GIVE_BACK_S)

  def give_back(self) -> None:
    # It expires by itself. A process that ends because the bucket does not answer must not wait for it here: clients try for minutes.
    with contextlib.suppress(Exception):
      self._store.write(self._key, None, if_equal=self._generation).result(timeout=GIVE_BACK_S)

  def require(self) -> None:
    """Ends this process if another one holds the lease."""
    if (owner := _read(self._store, self._key).owner or {}).get('token') != self._owner['token']:
      print(f'codemix: {named(owner)} took over {self._folder}, because this process gave no sign of life for {EXPIRY_S:g} s. It ends.', file=sys.stderr, flush=True)
      os._exit(PeerEnded.exit_code)

  def _beat(self) -> None:
    while not self._ended.wait(BEAT_S):
      try:
        mine = self._write(self._generation)
      except Exception:
        continue  # the bucket does not answer: the lease may expire, which the next beat that arrives finds out
      if not mine:
        self.require()

  def _write(self, generation: bytes) -> bool:
    """Writes the lease if it is of this generation; returns whether it was."""
    self._beats += 1
    value = json.dumps({**self._owner, 'beat': self._beats}).encode()
    self._store.write(self._key, value, if_equal=generation).result()
    # A write whose answer was lost is sent again and refused: what is there now says who wrote last.
    found = _read(self._store, self._key)
    mine = (found.owner or {}).get('token') == self._owner['token']
    if mine:
      self._generation = found.generation
    return mine


def _read(store: Any, key: str) -> _Found:
  return _Found(store.read(key).result())


def this_process() -> dict[str, str | int]:
  """What names this process among those of all machines."""
  return {**_here(), 'pid': os.getpid(), 'started': _started(os.getpid())}


def _here() -> dict[str, str]:
  """What names this machine since its start; containers of one machine differ by host name."""
  boot = Path('/proc/sys/kernel/random/boot_id')
  return {'host': socket.gethostname(), 'boot': boot.read_text().strip() if boot.exists() else ''}


def _is_here(owner: dict) -> bool:
  return bool(owner.get('boot')) and {key: owner.get(key) for key in ('host', 'boot')} == _here()


def _has_ended(owner: dict) -> bool:
  """Whether the owner was a process of this machine that is no more."""
  return _is_here(owner) and _started(owner.get('pid', 0)) != owner.get('started')


def _started(pid: int) -> str:
  """When a process was started, in clock ticks since the boot; '' if there is no such process."""
  try:
    fields = Path(f'/proc/{int(pid)}/stat').read_text().rpartition(')')[2].split()
  except (OSError, ValueError):
    return ''
  return '' if fields[0] == 'Z' else fields[19]


def named(owner: dict) -> str:
  """'process 4711 on node-7'."""
  return f'process {owner.get("pid")} on {owner.get("host")}'


def _is_leased(folder: Path, doing: str, owner: dict) -> FolderUnavailable:
  return FolderUnavailable(f'another process is {doing} in {folder} ({named(owner)}). Wait for it, or choose another folder.')
