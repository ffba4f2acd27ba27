"""A progress bar where there is a terminal, a line now and then where there is none."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Update = Callable[[int, float, float], None]  # (steps done, loss, tokens/s)

LINE_EVERY_S = 15.0


@contextlib.contextmanager
def stage_progress(name: str, steps: int, done: int) -> Iterator[Update]:
  """Shows a stage's progress.

  Args:
    name: the stage.
    steps: its steps.
    done: those done before, on resume.

  Yields:
    A function to call after a step.
  """
  if sys.stderr.isatty():
    with _bar(name, steps, done) as update:
      yield update
  else:
    yield _lines(name, steps, done)


@contextlib.contextmanager
def _bar(name: str, steps: int, done: int) -> Iterator[Update]:
  from rich.console import Console
  from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

  columns = (
    TextColumn('  {task.description}'),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn('loss {task.fields[loss]:.3f}, {task.fields[speed]:,.0f} tokens/s, ETA'),
    TimeRemainingColumn(),
  )
  with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
    task = progress.add_task(name, total=steps, completed=done, loss=float('nan'), speed=0.0)
    yield lambda done, loss, speed: progress.update(task, completed=done, loss=loss, speed=speed)


def _lines(name: str, steps: int, done_before: int) -> Update:
  began = time.monotonic()
  last = began

  def update(done: int, loss: float, speed: float) -> None:
    nonlocal last
    now = time.monotonic()
    if now - last < LINE_EVERY_S and done < steps:
      return
    last = now
    eta = (now - began) / max(done - done_before, 1) * (steps - done)
    print(
      f'  {name}: step {done:,} of {steps:,}, loss {loss:.3f}, ETA {eta:.0f} s'
      + (f', {speed:,.0f} tokens/s' if speed else ''),
      file=sys.stderr,
      flush=True,
    )

  return update
