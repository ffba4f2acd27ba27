"""Progress: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator

from codemix.parallel import watchdog
from codemix.training.preemption import stop_if_asked

Update = Callable[[int, float, float], None]  # (steps done, loss, tokens/s)
Show = Callable[[int, str], None]  # (amount done, other text)

LINE_EVERY_S = 15.0


@contextlib.contextmanager
def stage_progress(name: str, steps: int, done: int) -> Iterator[Update]:
  """Shows the progress of training a stage.

  Args:
    name: the stage.
    steps: its steps.
    done: those done before, on resume.

  Yields:
    A function to call after a step.
  """
  with _progress(name, 'step {done:,} of {total:,}', steps, done, last_line=True) as show:
    yield lambda done, loss, speed: show(done, f'loss {loss:.3f}' + (f', {speed:,.0f} tokens/s' if speed else ''))


def scoring_progress(
  stage: str, source: str, documents: int, shown: bool = True, noun: str = 'documents'
) -> contextlib.AbstractContextManager[Callable[[int], None]]:
  """Shows the progress of scoring a model.

  Args:
    stage: whose model it is.
    source: what it is scored on.
    documents: how many documents, or of what `noun` says.
    shown: False shows nothing, as in all processes but one.

  Yields:
    A function to call with the number of documents scored so far.
  """
  return progress_of(f'{stage} scored on {source}', f'{{done:,}} of {{total:,}} {noun}', documents, shown)


@contextlib.contextmanager
def progress_of(name: str, amount: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
  """Shows the progress of anything that is counted, with the time that is left, and tells the watchdog of it.

  All processes call the function at the same places, or process 0 alone in `preemption.by_first`.

  Args:
    name: of what is done.
    amount: what to show, such as '{done:,} of {total:,} items'.
    total: how many there are.
    shown: False shows nothing, as in all processes but one.

  Yields:
    A function to call with the number done so far. It raises Preempted if the processes are asked to stop.
  """
  with _progress(name, amount, total, 0) if shown else contextlib.nullcontext(_show_nothing) as show:

    def update(done: int) -> None:
      watchdog.still_there()
      show(done, '')
      stop_if_asked()

    yield update


def _show_nothing(done: int, more: str) -> None:
  pass


@contextlib.contextmanager
def _progress(name: str, amount: str, total: int, done: int, last_line: bool = False) -> Iterator[Show]:
  """A bar on a terminal; elsewhere a line every `LINE_EVERY_S` seconds."""
  if sys.stderr.isatty():
    with _bar(name, amount, total, done) as show:
      yield show
  else:
    yield _lines(name, amount, total, done, last_line)


@contextlib.contextmanager
def _bar(name: str, amount: str, total: int, done: int) -> Iterator[Show]:
  from rich.console import Console
  from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

  said = lambda done, more: amount.format(done=done, total=total) + (more and f', {more}')
  columns = (
    TextColumn('  {task.description}', markup=False),
    BarColumn(),
    TextColumn('{task.fields[said]}, ETA', markup=False),
    TimeRemainingColumn(),
  )
  with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
    task = progress.add_task(name, total=total, completed=done, said=said(done, ''))
    yield lambda done, more: progress.update(task, completed=done, said=said(done, more))


def _lines(name: str, amount: str, total: int, done_before: int, last_line: bool) -> Show:
  began = time.monotonic()
  last = began

  def show(done: int, more: str) -> None:
    nonlocal last
    now = time.monotonic()
    if now - last < LINE_EVERY_S and not (last_line and done == total):
      return
    last = now
    seconds = (now - began) / max(done - done_before, 1) * (total - done)
    eta = f'ETA {datetime.timedelta(seconds=round(seconds))}'
    said = ', '.join(filter(None, [amount.format(done=done, total=total), more, eta]))
    print(f'  {name}: {said}', file=sys.stderr, flush=True)

  return show
