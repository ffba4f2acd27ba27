"""The faults: each disturbs an attempt, and knows how a run that notices it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from codemix.errors import CodemixError, PeerEnded, Preempted, StorageUnavailable, UserError
from codemix.storage.whole import remove, write_bytes
from tests.faults.campaign.member import COUNT, SAVE_EVERY
from tests.faults.campaign.run import BUCKET, DISK, HANGS_S, Attempt, Run, attempt
from tests.faulty_proxy import RESET, STATUSES

KILLED, TERMINATED, PEER = -signal.SIGKILL, -signal.SIGTERM, PeerEnded.exit_code
SILENCE_S = 5.0
LOOP, CHECKPOINTS, EVALUATION = 'codemix.training.loop', 'codemix.checkpoints', 'codemix.evaluation'
FIRST, ANY = (0,), tuple(range(COUNT))

SEALED = {DISK: f'{CHECKPOINTS}.orbax_state:SealedPath', BUCKET: f'{CHECKPOINTS}.orbax_state:SealedPrefix'}

# function, up to which of its calls, and in which processes
IN_A_SAVE = (
  (f'{CHECKPOINTS}:Checkpoints.save', 4, ANY),
  (f'{CHECKPOINTS}:Checkpoints.wait', 1, ANY),
  ('{path}.finalize', 8, FIRST),
  (f'{CHECKPOINTS}.orbax_state:_describe_state', 4, FIRST),
  (f'{CHECKPOINTS}.orbax_state:seal', 4, FIRST),
  (f'{CHECKPOINTS}.seal:checksums', 4, FIRST),
  (f'{CHECKPOINTS}.seal:write_json', 4, FIRST),
  (f'{CHECKPOINTS}.seal:drop_stray_seals', 4, FIRST),
)
IN_A_HANDOFF = (
  (f'{LOOP}:write_result', 1, FIRST),
  ('codemix.training.stage_record:write_json', 5, FIRST),
  (f'{CHECKPOINTS}:Checkpoints.delete_before', 1, FIRST),
  (f'{CHECKPOINTS}:Checkpoints.require', 2, ANY),
  (f'{CHECKPOINTS}:Checkpoints.restore_state', 2, ANY),
  (f'{LOOP}:final_state', 1, ANY),
  (f'{LOOP}:hand_off', 1, ANY),
  (f'{LOOP}:write_plan', 2, FIRST),
)
IN_AN_EVALUATION = (
  (f'{EVALUATION}.held_out:score_documents', 4, ANY),
  (f'{EVALUATION}.evaluator:write_results', 4, FIRST),
  (f'{EVALUATION}.results:write_json', 4, FIRST),
  (f'{EVALUATION}.scoring:on_devices', 4, ANY),
)


@dataclasses.dataclass
class Disturbed:
  """An attempt after its end.

  Attributes:
    attempt: what was started.
    codes: how both processes ended; None: one hung.
    injected: whether the fault met a process at work.
    detected: whether the run noticed it. None: only the next attempt can, by `warning`.
    documented: whether both ended as the table of exit codes says.
    warning: what the next attempt must say.
  """

  attempt: Attempt
  codes: list[int | None]
  injected: bool
  detected: bool | None
  documented: bool
  warning: str | None = None


Disturb = Callable[[Run, random.Random], Disturbed]


def kill_one(run: Run, rng: random.Random) -> Disturbed:
  started, victim = attempt(run), rng.choice(ANY)
  if started.wait_for_moment(rng):
    started.send(victim, signal.SIGKILL)
  return _after_a_kill(started, victim)


def kill_both(run: Run, rng: random.Random) -> Disturbed:
  started = attempt(run)
  if started.wait_for_moment(rng):
    for index in ANY:
      started.send(index, signal.SIGKILL)
  codes = started.ends()
  # 0: at the very end one may be done before the other is killed.
  as_documented = set(codes) <= {0, KILLED, PEER}
  return Disturbed(started, codes, KILLED in codes, as_documented, as_documented)


def sigterm(run: Run, rng: random.Random) -> Disturbed:
  """To one process or to all, as batch systems send it; before JAX listens to the signal, it ends a process."""
  started, to = attempt(run), rng.choice([(0,), (1,), ANY])
  if started.wait_for_moment(rng):
    for index in to:
      started.send(index, signal.SIGTERM)
  codes = started.ends()
  stopped = codes == [Preempted.exit_code] * COUNT
  early = TERMINATED in codes and not started.steps() and set(codes) <= {TERMINATED, PEER}
  return Disturbed(started, codes, codes != [0] * COUNT, stopped or early, stopped or early or codes == [0] * COUNT)


def sigstop(run: Run, rng: random.Random) -> Disturbed:
  started, victim = attempt(run, silence_s=SILENCE_S), rng.choice(ANY)
  if not started.wait_for_step() or not started.wait_for_moment(rng):
    codes = started.ends()
    return Disturbed(started, codes, False, None, codes == [0] * COUNT)
  started.send(victim, signal.SIGSTOP)
  left = started.place.zygote.end_of(started.pids[1 - victim], HANGS_S)
  started.send(victim, signal.SIGCONT)
  codes = started.ends()
  named = re.search(rf'process {victim} .*has given no sign of life for {SILENCE_S:g} s', started.said(1 - victim))
  return Disturbed(started, codes, left != 0, left == PEER and named is not None, codes in ([PEER] * COUNT, [0] * COUNT))


def kill_at(moments: tuple[tuple[str, int, tuple[int, ...]], ...]) -> Disturb:
  def disturb(run: Run, rng: random.Random) -> Disturbed:
    function, calls, processes = rng.choice(moments)
    victim = rng.choice(processes)
    return _after_a_kill(attempt(run, at={victim: function.format(path=SEALED[run.place.kind])}, call=rng.randint(1, calls)), victim)

  return disturb


def full_disk(run: Run, rng: random.Random) -> Disturbed:
  """Fills the file system of the run until both processes have ended; in a bucket, where nothing is full, uploads are refused with 403."""
  started, proxy = attempt(run), run.place.proxy
  if started.wait_for_moment(rng):
    if proxy:
      proxy.refuse_uploads('403 Forbidden')
      started.wait_until(lambda: False, HANGS_S)
      proxy.heal()
    else:
      with _filled(Path(run.output).parent) as fill:
        started.wait_until(fill, HANGS_S)
  codes = started.ends()
  named = re.search('refuses access' if proxy else 'the disk is full', started.all_said())
  wrong = [UserError.exit_code] * COUNT
  return Disturbed(started, codes, codes != [0] * COUNT, codes == wrong and named is not None, codes in (wrong, [0] * COUNT))


def outage(mode: str) -> Disturb:
  """The bucket fails for seconds; in a third of all cases a client, in a hurry, gives up before it is back."""

  def disturb(run: Run, rng: random.Random) -> Disturbed:
    proxy, hurried = run.place.proxy, rng.random() < 1 / 3
    before = proxy.failed
    started = attempt(run, hurried=hurried)
    if started.wait_for_moment(rng):
      proxy.fail(mode)
      # TensorStore is in no hurry: it is waited for before the process ends.
      started.wait_until(lambda: False, 20 if hurried else rng.uniform(0.5, 5))
      proxy.heal()
    codes, failed = started.ends(), proxy.failed - before
    ended = codes == [StorageUnavailable.exit_code] * COUNT
    # What was ridden out was noticed: each request that failed was sent again.
    return Disturbed(started, codes, failed > 0, ended or codes == [0] * COUNT, ended or codes == [0] * COUNT)

  return disturb


def damaged(how: str) -> Disturb:
  """Kills a run after a checkpoint, and damages a random object of the newest."""

  def disturb(run: Run, rng: random.Random) -> Disturbed:
    started = attempt(run)
    if started.wait_for_step(rng.randint(SAVE_EVERY + 1, 2 * SAVE_EVERY + 1)):
      started.wait_until(lambda: run.newest_checkpoint() is not None, HANGS_S)
    for index in ANY:
      started.send(index, signal.SIGKILL)
    codes = started.ends()
    newest = run.newest_checkpoint()
    documented = set(codes) <= {0, KILLED, PEER}
    if newest is None:
      return Disturbed(started, codes, False, None, documented)
    _damage(newest, how, rng)
    return Disturbed(started, codes, True, None, documented, f'checkpoint {newest} is passed over: ')

  return disturb


FAULTS: dict[str, tuple[Disturb, tuple[str, ...]]] = {
  'kill -9 of one process': (kill_one, (DISK, BUCKET)),
  'kill -9 of both': (kill_both, (DISK, BUCKET)),
  'SIGTERM': (sigterm, (DISK, BUCKET)),
  'SIGSTOP past the time-out': (sigstop, (DISK, BUCKET)),
  'kill -9 in a save': (kill_at(IN_A_SAVE), (DISK, BUCKET)),
  'kill -9 in a hand-off': (kill_at(IN_A_HANDOFF), (DISK, BUCKET)),
  'kill -9 in an evaluation': (kill_at(IN_AN_EVALUATION), (DISK, BUCKET)),
  'full disk for a while': (full_disk, (DISK,)),
  'refused uploads for a while': (full_disk, (BUCKET,)),
  '429 for a while': (outage(STATUSES[0]), (BUCKET,)),
  '503 for a while': (outage(STATUSES[1]), (BUCKET,)),
  'resets for a while': (outage(RESET), (BUCKET,)),
  'deleted checkpoint file': (damaged('deleted'), (DISK, BUCKET)),
  'truncated checkpoint file': (damaged('truncated'), (DISK, BUCKET)),
  'flipped bit of a checkpoint': (damaged('flipped'), (DISK, BUCKET)),
}


def _after_a_kill(started: Attempt, victim: int) -> Disturbed:
  codes = started.ends()
  if codes[victim] != KILLED:
    return Disturbed(started, codes, False, None, codes == [0] * COUNT)
  other = codes[1 - victim]
  # Before the processes have met, the other one waits for the victim, and names it when its time is over.
  apart = other == CodemixError.exit_code and re.search(r'of 2 processes joined|did not reach process 0|ended during start-up', started.said(1 - victim))
  noticed = other == PEER or bool(apart)
  return Disturbed(started, codes, other != 0, noticed, noticed or other == 0)


def _damage(checkpoint: Path, how: str, rng: random.Random) -> None:
  files = [path for path in sorted(checkpoint.rglob('*'), key=str) if path.is_file()]
  path = rng.choice([*(path for path in files if path.stat().st_size), checkpoint.parent / f'{checkpoint.name}.digest.json'])
  data = bytearray(path.read_bytes())
  if how == 'deleted':
    remove(path)
    return
  if how == 'truncated':
    data = data[: rng.randrange(len(data))]
  else:
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
  write_bytes(path, bytes(data))


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
  """A file system of 64 MB in memory; only root may mount it."""
  with tempfile.TemporaryDirectory(prefix='codemix-campaign-') as folder:
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder], check=True)
    try:
      yield Path(folder)
    finally:
      subprocess.run(['umount', '--lazy', folder], check=True)


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[Callable[[], bool]]:
  """Yields a function that writes into a file in `folder` until the disk is full, and returns False; the file ends with the block."""
  ballast = folder / 'ballast'
  file = os.open(ballast, os.O_WRONLY | os.O_CREAT)

  def fill() -> bool:
    with contextlib.suppress(OSError):
      for size in (2**20, 4096):
        with contextlib.suppress(OSError):
          while os.write(file, bytes(size)) > 0:
            pass
    return False

  try:
    fill()
    yield fill
  finally:
    os.close(file)
    ballast.unlink()
