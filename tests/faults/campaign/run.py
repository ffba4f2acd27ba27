"""A run of two processes that is started again and again, where it lies, and what it ends in."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from codemix.errors import UserError
from codemix.storage import as_path
from tests import gcs, tiny_study
from tests.faults import runs
from tests.faults.campaign.member import COUNT, STEPS, Order
from tests.faults.campaign.zygote import Zygote, zygote
from tests.faulty_proxy import FaultyProxy

DISK, BUCKET = 'disk', 'bucket'
HANGS_S = 240  # an attempt that has not ended after so long does not end by itself
POLL_S = 0.01


@dataclasses.dataclass
class Place:
  """A disk or a bucket with the data of the runs.

  Attributes:
    kind: DISK or BUCKET.
    root: a local folder for logs and compiled programs; on a disk also for data and runs.
    url: the folder of data and runs.
    proxy: before the server of the bucket; None on a disk.
    steps: of the runs (`Order`).
    seconds: from the start of an undisturbed run to its first step, and from there to its end.
    undisturbed: what it ended in.
  """

  kind: str
  root: Path
  url: str
  zygote: Zygote
  proxy: FaultyProxy | None
  steps: int
  seconds: tuple[float, float] = (0.0, 0.0)
  undisturbed: Mapping[str, object] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def place(kind: str, root: Path, steps: int = STEPS, compile_first: bool = True) -> Iterator[Place]:
  """Prepares data, and trains a run that nothing disturbs.

  Args:
    compile_first: whether a run before it compiles the programs, so that it takes as long as the disturbed ones.
  """
  with contextlib.ExitStack() as stack:
    proxy, url = None, str(root)
    if kind == BUCKET:
      proxy = stack.enter_context(gcs.server(root / 'gcs.log'))
      stack.enter_context(gcs.used(proxy.port))
      url = f'gs://{gcs.BUCKET}'
    tiny_study.prepare(f'{url}/data')
    found = Place(kind, root, url, stack.enter_context(zygote(runs.environment())), proxy, steps)
    if compile_first:
      attempt(Run(found, 'compiling')).require_success()
    undisturbed = Run(found, 'undisturbed')
    began = time.monotonic()
    trained = attempt(undisturbed)
    trained.wait_for_step()
    first = time.monotonic()
    trained.require_success()
    found.seconds = first - began, time.monotonic() - first
    found.undisturbed = undisturbed.result()
    yield found


class Run:
  """A run by its name, at a place, or at `output` if that is another folder."""

  def __init__(self, place: Place, name: str, output: str | None = None):
    self.place, self.name = place, name
    self.output = output or f'{place.url}/{name}'
    self.attempts = 0

  def result(self) -> dict[str, object]:
    return runs.result_of(as_path(self.output))

  def differences(self) -> list[str]:
    """Names of all that is not bitwise as in the undisturbed run; the run must have ended."""
    found, expected = self.result(), self.place.undisturbed
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))

  def newest_checkpoint(self) -> Path | None:
    """The newest sealed checkpoint of the stage that is being trained; None: there is none."""
    stages = [path for path in _children(as_path(self.output) / 'stages') if not (path / 'done.json').exists()]
    sealed = [path for stage in stages for path in _children(stage / 'checkpoints') if path.name.endswith('.digest.json')]
    numbers = [int(path.name.split('.')[0]) for path in sealed]
    return sealed[0].parent / str(max(numbers)) if numbers else None

  def clean(self) -> None:
    if self.place.kind == DISK:
      shutil.rmtree(self.output, ignore_errors=True)


@dataclasses.dataclass
class Attempt:
  """Both processes of a run between a start and the next."""

  place: Place
  pids: list[int]
  orders: list[Order]

  def send(self, index: int, number: signal.Signals) -> None:
    if self.place.zygote.end_of(self.pids[index]) is None:
      with contextlib.suppress(ProcessLookupError):
        os.kill(self.pids[index], number)

  def has_ended(self) -> bool:
    return all(self.place.zygote.end_of(pid) is not None for pid in self.pids)

  def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
    """Waits until the condition holds, both processes have ended, or the time is over; returns whether it holds."""
    deadline = time.monotonic() + timeout_s
    while not (holds := condition()) and not self.has_ended() and time.monotonic() < deadline:
      time.sleep(POLL_S)
    return holds

  def steps(self) -> int:
    path = Path(self.orders[0].steps_file)
    return path.stat().st_size if path.exists() else 0

  def wait_for_step(self, number: int = 1) -> bool:
    return self.wait_until(lambda: self.steps() >= number, HANGS_S)

  def wait_for_moment(self, rng: random.Random) -> bool:
    """Waits until a random moment, one in five before the first step; returns whether a process is still there."""
    start_s, train_s = self.place.seconds
    if rng.random() < 0.2:
      self.wait_until(lambda: False, rng.uniform(0.05, 1) * start_s)
    elif self.wait_for_step():
      self.wait_until(lambda: False, rng.uniform(0, 0.8) * train_s)
    return not self.has_ended()

  def ends(self) -> list[int | None]:
    """How both ended; None: it did not within `HANGS_S`, and was killed."""
    deadline = time.monotonic() + HANGS_S
    codes = [self.place.zygote.end_of(pid, max(deadline - time.monotonic(), 0)) for pid in self.pids]
    for index, pid in enumerate(self.pids):
      self.send(index, signal.SIGKILL)
      self.place.zygote.end_of(pid, 30)
    return codes

  def said(self, index: int) -> str:
    path = Path(self.orders[index].log)
    return path.read_text(errors='replace') if path.exists() else ''

  def all_said(self) -> str:
    return '\n'.join(self.said(index) for index in range(COUNT))

  def require_success(self) -> None:
    if (codes := self.ends()) != [0] * COUNT:
      raise UserError(f'the undisturbed run ended with {codes}: {self.all_said()[-2000:]}')


def attempt(run: Run, **of_each: Mapping[int, object] | object) -> Attempt:
  """Starts both processes of a run.

  Args:
    of_each: fields of `Order`; a mapping has them by the process's number.
  """
  place, run.attempts = run.place, run.attempts + 1
  port, orders = gcs.free_port(), []
  for index in range(COUNT):
    name = f'{run.name}-{run.attempts}-{index}'
    fields = {key: value.get(index) if isinstance(value, Mapping) else value for key, value in of_each.items()}
    orders.append(
      Order(
        data=f'{place.url}/data',
        output=run.output,
        cache=str(place.root / 'cache'),
        steps_file=str(place.root / f'{name}.steps'),
        log=str(place.root / f'{name}.log'),
        port=port,
        index=index,
        steps=place.steps,
        **{key: value for key, value in fields.items() if value is not None},
      )
    )
  return Attempt(place, [place.zygote.start(dataclasses.asdict(order)) for order in orders], orders)


def _children(folder: Path) -> list[Path]:
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    return sorted(folder.iterdir(), key=str)
  return []
