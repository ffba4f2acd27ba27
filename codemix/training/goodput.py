"""Goodput: the wall-clock time of a stage by activity, over all processes that worked on it.

A process appends a line to the stage's `time.jsonl` before each save, every few seconds, and at its
end: the seconds since its previous line, by activity, and the step that it has reached. So a killed
process loses only its last few seconds, and resuming does not need the file. The first line of a
process's steps has the step from which it continues; time spent earlier on later steps is lost.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from codemix.errors import CodemixError, UserError
from codemix.storage import as_path, is_remote, make_folder, require_form, writing
from codemix.storage.lines import Lines, open_lines, read_lines

Item = TypeVar('Item')

FILE = 'time.jsonl'
EVERY_S = 5.0

# 'step' is waiting for the devices and starting work on them; 'compile' is making a fresh state and
# the first step of a stage in each process, whether or not its program was compiled for an earlier
# stage; 'data' is waiting for the next batch; 'save' the part of it that stops the steps; 'idle'
# everything else: opening, restoring, handing over.
PARTS = ('step', 'compile', 'data', 'save', 'evaluation', 'idle')
LOST = 'lost'
_LINE = {'seconds': {...: float}, 'from': int, 'step': int, 'devices': int}  # what a line may have
_OF_STEPS = ('step', 'data', 'save')  # activities that are lost together with their steps


class TimeAccount:
  """Counts the time of this process by part; a context that ends with a last line.

  Args:
    folder: of the stage; None if another process writes.
    part: the activity outside of `part(...)` contexts.
    began: start of the count (`time.monotonic()`); None for now.
    devices: how many are in use, which each line then says; None if that is not known.
  """

  def __init__(self, folder: Path | None, part: str, began: float | None = None, devices: int | None = None):
    self._devices = {} if devices is None else {'devices': devices}
    self._part, self._since = part, time.monotonic() if began is None else began
    self._seconds: dict[str, float] = collections.defaultdict(float)
    self._steps: dict[str, int] = {}
    self._counting, self._writing = threading.Lock(), threading.Lock()
    self._path = None if folder is None else as_path(folder) / FILE
    self._parts: Lines | None = None  # in a bucket
    self._ends_whole = False  # whether the file is known to end with a whole line
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._write_now_and_then, name='time account', daemon=True)

  def __enter__(self) -> TimeAccount:
    if self._path is not None:
      self._thread.start()
    return self

  def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
    if self._path is None:
      return
    self._ended.set()
    self._thread.join()
    if error is None:
      self.write()
      self._flush()
    # A refused run changes no file; a run that ends because the disk is full cannot write.
    elif not isinstance(error, UserError):
      with contextlib.suppress(CodemixError, OSError):  # the error that is being raised says more
        self.write()
        self._flush()

  def _flush(self) -> None:
    if self._parts:
      with self._writing:
        self._parts.flush()

  @contextlib.contextmanager
  def spent_on(self, part: str) -> Iterator[None]:
    """Counts the time in this context as that part; the part of an enclosing context is paused."""
    before = self._turn_to(part)
    try:
      yield
    finally:
      self._turn_to(before)

  def waiting_for(self, part: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items; the time to get each of them counts as that part."""
    iterator = iter(items)
    while True:
      with self.spent_on(part):
        found = list(itertools.islice(iterator, 1))
      if not found:
        return
      yield found[0]

  def goes_on_from(self, step: int) -> None:
    """Notes the step of the run from which the process trains."""
    with self._counting:
      self._steps = {'from': step, 'step': step}

  def reached(self, step: int) -> None:
    """Notes that a step is done."""
    with self._counting:
      self._steps['step'] = step

  def write(self) -> None:
    """Appends a line; called before a save, so that a later process knows the time up to it."""
    if self._path is None:
      return
    with self._writing, writing(self._path):
      steps, seconds = self._take()
      line = {**steps, **self._devices, 'seconds': {part: round(spent, 6) for part, spent in seconds.items()}}
      try:
        self._append(json.dumps(line))
      except BaseException:  # also an interrupt: the last line of the stage includes this time
        self._put_back(steps, seconds)
        raise

  def _take(self) -> tuple[dict[str, int], dict[str, float]]:
    """The content of the next line; time from now on belongs to the line after it."""
    with self._counting:
      self._count()
      steps, seconds = self._steps, self._seconds
      self._steps = {key: step for key, step in steps.items() if key != 'from'}
      self._seconds = collections.defaultdict(float)
      return steps, seconds

  def _put_back(self, steps: dict[str, int], seconds: dict[str, float]) -> None:
    with self._counting:
      self._steps = {**steps, **self._steps}
      for part, spent in seconds.items():
        self._seconds[part] += spent

  def _append(self, line: str) -> None:
    if is_remote(self._path):
      self._parts = self._parts or open_lines(self._path)
      self._parts.append([line])
      return
    make_folder(self._path.parent)
    if not self._ends_whole:  # a killed process or a full disk may have left half a line
      _drop_half_a_line(self._path)
    self._ends_whole = False
    # Opened for each line: an open file keeps what it could not write, and fails again when it is closed.
    with open(self._path, 'a', encoding='utf-8') as file:
      file.write(f'{line}\n')
    self._ends_whole = True

  def _turn_to(self, part: str) -> str:
    """Counts the time until now, changes to `part` and returns the previous part."""
    with self._counting:
      self._count()
      before, self._part = self._part, part
      return before

  def _count(self) -> None:
    """Counts the time until now; the caller holds the lock."""
    now = time.monotonic()
    self._seconds[self._part] += now - self._since
    self._since = now

  def _write_now_and_then(self) -> None:
    while not self._ended.wait(EVERY_S):
      with contextlib.suppress(CodemixError, OSError):  # the next line of the process includes it
        self.write()


@dataclasses.dataclass(frozen=True)
class Times:
  """Wall-clock seconds of a stage.

  Attributes:
    seconds: of each of PARTS, and of LOST: steps that had to be trained again.
    resumed: how often another process continued the steps; the processes of a pod count as one.
    device_seconds: seconds times the devices in use, as far as lines say how many.
  """

  seconds: dict[str, float]
  resumed: int
  device_seconds: float = 0.0

  @property
  def total(self) -> float:
    return sum(self.seconds.values())

  @property
  def goodput(self) -> float:
    """The share of all time that was spent on steps of the result."""
    return self.seconds['step'] / self.total if self.total else 0.0

  def __str__(self) -> str:
    parts = ', '.join(
      f'{part} {spent / self.total:.1%}' for part, spent in self.seconds.items() if spent >= 5e-4 * self.total
    )
    return f'{self.total:,.1f} s{self._went_on()}: {parts}; goodput {self.goodput:.1%}'

  def _went_on(self) -> str:
    if not self.resumed:
      return ''
    return ', went on once' if self.resumed == 1 else f', went on {self.resumed} times'


def read_times(folder: Path) -> Times | None:
  """The sum of a stage's `time.jsonl`; None if there is no file."""
  content = read_lines(path := as_path(folder) / FILE)
  return None if content is None else add_up(_lines(content, path))


def add_up(lines: Iterable[dict]) -> Times:
  """Sums the lines of one stage, in their order.

  Args:
    lines: each with 'seconds' by part since the process's previous line; if steps were trained,
      with the last 'step' (of the run); the first one also with the step 'from' which the process
      continued; and with the number of 'devices' in use.
  """
  spans: list[_Span] = []
  begun, step, device_seconds = 0, 0, 0.0
  for line in lines:
    device_seconds += line.get('devices', 0) * sum(line['seconds'].values())
    if 'from' in line:
      begun, step = begun + 1, line['from']
      spans = [span.before(step) for span in spans]
    begin, step = step, line.get('step', step)
    spans.append(_Span(begin, step, line['seconds']))
  seconds = {part: sum(span.seconds.get(part, 0.0) for span in spans) for part in (*PARTS, LOST)}
  return Times(seconds, max(begun - 1, 0), device_seconds)


def total(stages: Iterable[Times]) -> Times:
  """Of several stages together."""
  stages = list(stages)
  seconds = {part: sum(times.seconds[part] for times in stages) for part in (*PARTS, LOST)}
  return Times(seconds, sum(times.resumed for times in stages), sum(times.device_seconds for times in stages))


@dataclasses.dataclass(frozen=True)
class _Span:
  """What was spent on the way from one step of the run to another."""

  begin: int
  end: int
  seconds: dict[str, float]

  def before(self, step: int) -> _Span:
    """The same if the work after `step` is lost."""
    if self.end <= step or self.end == self.begin:
      return self
    share = (self.end - max(self.begin, step)) / (self.end - self.begin)
    kept = {part: spent * (1 - share * (part in _OF_STEPS)) for part, spent in self.seconds.items()}
    kept[LOST] = kept.get(LOST, 0.0) + sum(self.seconds.values()) - sum(kept.values())
    return _Span(self.begin, max(self.begin, step), kept)


def _lines(content: bytes, path: Path) -> Iterator[dict]:
  """Skips a line that a kill or a full disk has cut off."""
  for text in content.decode(errors='replace').splitlines():
    with contextlib.suppress(ValueError, RecursionError):
      line = json.loads(text)
      if isinstance(line, dict) and 'seconds' in line:
        require_form(line, {key: form for key, form in _LINE.items() if key in line}, path, 'Delete that line.')
        yield line


def _drop_half_a_line(path: Path) -> None:
  if path.exists() and (content := path.read_bytes()) and not content.endswith(b'\n'):
    os.truncate(path, content.rfind(b'\n') + 1)
