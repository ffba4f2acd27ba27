"""The life of a run on Cloud TPU VMs: machines, environment, processes, what ends them, and again."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from codemix.errors import CodemixError, PeerEnded, Preempted, UserError
from codemix.launch.exit_codes import RESTARTED, of_all
from codemix.launch.tpu_vm import TpuVm
from codemix.repeating import repeating

READY = 'ACTIVE'
COMING = ('CREATING', 'ACCEPTED', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'STATE_UNSPECIFIED')
GOING = ('SUSPENDING', 'DELETING')
TAKEN = 'SUSPENDED'  # also of a spot slice that was lost before it was ready
FAILED = 'FAILED'  # not to be had
ABSENT = ''

POLL_S = 30.0
ASKED = 3  # times for the state, if the network fails
LOST = 10  # connections that break one after the other, until the launcher gives up
SETTLING = 10  # times that the state is asked for, POLL_S apart, after a command failed: machines that go are ACTIVE for a while
WATCH_S = 60.0  # between two looks at the state while the log is followed
# Limits of gcloud's commands, but of `follow`, beside which the state is watched. Those on the machines go to 64 at a time.
DESCRIBE_S = 180.0
COMMAND_S = 3600.0
KILL_S = 10.0
_ENDED = re.compile(r'codemix-ended (\S+) (\d+)')
_FROM = re.compile(r'codemix-from (\d+)$')
_LINE = re.compile(r'(\S+): (.*)')


class Stopped(Exception):
  """This process was asked to stop."""


class Taken(Exception):
  """The machines were taken away."""


class TpuVmRun:
  """Runs a study on TPU VMs until it has ended.

  The processes outlive this one, and a second one of the same run takes over where the first was lost.

  Args:
    vms: the run.
    requirement: what pip installs there.
    python: the version of Python there.
    files: what is sent.
    logs: a folder here for the logs of all machines, `MACHINE.log` each, to which every start appends.
    show: called with lines of progress.
    show_log: called with lines of the first machine's log.
  """

  def __init__(self, vms: TpuVm, requirement: str, python: str, files: Sequence[Path], logs: Path, show: Callable[[str], None], show_log: Callable[[str], None]):
    self._vms, self._requirement, self._python, self._files, self._logs = vms, requirement, python, files, logs
    self._show, self._show_log = show, show_log
    self._child: subprocess.Popen | None = None
    self.stopped = False

  @contextlib.contextmanager
  def stopped_by_signals(self) -> Iterator[None]:
    """SIGTERM and Ctrl-C to this process stop the run; the second ends this process at once."""

    def stop(number: int, frame: object) -> None:
      for each in before:
        signal.signal(each, before[each])
      self.stopped = True
      if self._child:
        with contextlib.suppress(ProcessLookupError):
          os.killpg(self._child.pid, signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
      signal.signal(number, stop)
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def run(self, restarts: int) -> int:
    """Returns the run's exit code.

    Raises CodemixError if the machines cannot be had or reached, with gcloud's words.

    Args:
      restarts: how often it starts again after a failure, at most. That the machines were taken away, or that a process was asked
        to stop and has saved, is none.
    """
    failures = 0
    while True:
      try:
        code = self._start()
        why = f'exit code {code}'
      except Stopped:
        return PeerEnded.exit_code  # nothing was started
      except Taken:
        code, why = PeerEnded.exit_code, 'the machines were taken away'
      else:
        failures += code != Preempted.exit_code
      if code not in RESTARTED or self.stopped:
        return code
      if failures > restarts:
        self._show(f'{why}: the run has failed {failures} times, and --restarts is {restarts}. The same command goes on from the last checkpoint.')
        return code
      self._show(f'{why}: the run starts again, and resumes from the last checkpoint ({failures} of {restarts} failures; preemptions do not count)')

  def _start(self) -> int:
    """One start on machines that are waited for; the exit code. Raises Stopped or Taken."""
    self._acquire()
    try:
      self._install()
      return PeerEnded.exit_code if self.stopped else self._train()
    except UserError:
      raise
    except CodemixError as error:
      self._show(f'{error} If the machines are going, the state will say so within {SETTLING * POLL_S / 60:.0f} minutes; until then it is watched.')
      if self._stays():
        raise
      raise Taken from None

  def _stays(self) -> bool:
    """Whether the machines are still there some minutes later."""
    for left in reversed(range(SETTLING)):
      if self._state()[0] != READY:
        return False
      if self.stopped:
        break
      if left:
        time.sleep(POLL_S)
    return True

  def delete(self) -> None:
    """Deletes the machines, if there are any: they cost until then."""
    if self._state()[0] != ABSENT:
      self._show(f'{self._vms.of.name}: the machines are deleted')
      self._gcloud(self._vms.delete())

  def _acquire(self) -> None:
    """Waits for the machines; asks for them if there are none, or they were taken away."""
    last = None
    while True:
      state, reason = self._state()
      if state != last:
        self._show(f'{self._vms.of.name}: {state or "no machines yet"}')
      if state == READY:
        return
      if state == FAILED and last in COMING:
        raise CodemixError(f'Cloud TPU gives no machines: {reason or state}. See the quota and the zone, and `{shlex.join(self._vms.state())}`.')
      if state in (TAKEN, FAILED):
        self._gcloud(self._vms.delete())
      elif state == ABSENT:
        self._gcloud(self._vms.create())
      elif state in (*COMING, *GOING):
        self._sleep(POLL_S)
      else:
        raise CodemixError(f'Cloud TPU names a state that codemix does not know: {state}.')
      last = state if state != ABSENT else last

  def _install(self) -> None:
    self._gcloud(self._vms.make_folder())
    with self._all_files() as files:
      self._gcloud(self._vms.copy(files))
    self._gcloud(self._vms.install(self._requirement, self._python))

  @contextlib.contextmanager
  def _all_files(self) -> Iterator[list[Path]]:
    """The files, with one of the secrets, which only this user reads and which is deleted at once."""
    if not (text := self._vms.secrets()):
      yield list(self._files)
      return
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
      (Path(folder) / 'secrets').write_text(text)
      yield [*self._files, Path(folder) / 'secrets']

  def _train(self) -> int:
    """Starts the processes, shows the log of the first one, and returns the exit code of all. Raises Taken."""
    self._gcloud(self._vms.start(secrets.token_hex(8)))
    shown, lost = 0, 0
    while not self.stopped:
      before = at = shown
      with self._lines(self._vms.follow(shown)) as lines, self._watched():
        for line in lines:
          if begun := _FROM.search(line):  # also after a connection that broke, when gcloud repeats the command
            at = int(begun[1])
            continue
          at += len(line.encode())
          if at > shown:
            shown = at
            self._show_log(line.rstrip('\n'))
      if self._child.returncode == 0 or self.stopped or self._state()[0] != READY:
        break
      lost = 1 if shown > before else lost + 1
      if lost >= LOST:
        raise CodemixError(f'the connection to {self._vms.of.name} breaks again and again. The run may go on: the same command finds it.')
      with contextlib.suppress(Stopped):
        self._sleep(POLL_S)
    return self._ended('stop' if self.stopped else 'end')

  def _ended(self, how: str) -> int:
    """Gathers logs and exit codes of all machines. Raises Taken."""
    if self._state()[0] != READY:
      raise Taken
    self._logs.mkdir(parents=True, exist_ok=True)
    codes: dict[str, int] = {}
    with contextlib.ExitStack() as opened:
      logs: dict[str, object] = {}
      for line in opened.enter_context(self._lines(self._vms.end(how), COMMAND_S)):
        if ended := _ENDED.search(line):
          codes[ended[1]] = int(ended[2])
        elif of_machine := _LINE.match(line):
          machine, text = of_machine.groups()
          if machine not in logs:
            logs[machine] = opened.enter_context(open(self._logs / f'{Path(machine).name}.log', 'a', encoding='utf-8'))
          print(text, file=logs[machine])
    failed = {machine: code for machine, code in codes.items() if code}
    self._show(f'{len(codes)} machines ended; logs in {self._logs}' + ''.join(f'; {machine}: exit code {code}' for machine, code in sorted(failed.items())[:8]))
    return of_all(codes.values()) if codes else PeerEnded.exit_code

  def _state(self) -> tuple[str, str]:
    """The state and the reason of a failure; '' if there are no machines."""
    for left in reversed(range(ASKED)):
      ran = self._run(self._vms.state(), DESCRIBE_S)
      if not ran.returncode:
        state, _, reason = ran.stdout.strip().partition('\t')
        return state, reason
      if 'NOT_FOUND' in ran.stderr:
        return ABSENT, ''
      if left:
        time.sleep(POLL_S)
    raise _refused(ran)

  def _gcloud(self, words: Sequence[str]) -> None:
    ran = self._run(words, COMMAND_S)
    if ran.returncode:
      raise _refused(ran)

  def _run(self, words: Sequence[str], limit_s: float) -> subprocess.CompletedProcess:
    process = self._started(words, stderr=subprocess.PIPE)
    with _ended_after(limit_s, process) as late:
      stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, stdout, f'{stderr}\nended after {limit_s / 60:g} minutes' if late.is_set() else stderr)

  @contextlib.contextmanager
  def _lines(self, words: Sequence[str], limit_s: float = float('inf')) -> Iterator[Iterator[str]]:
    """The lines that a command prints; `stop` ends it."""
    with self._started(words, stderr=subprocess.DEVNULL) as self._child, _ended_after(limit_s, self._child):
      yield self._child.stdout

  @contextlib.contextmanager
  def _watched(self) -> Iterator[None]:
    """Ends the command that follows the log when the machines go: a connection may stay open to one that is no more."""
    child = self._child

    def look() -> None:
      with contextlib.suppress(CodemixError):  # gcloud fails; it is asked again
        if self._state()[0] != READY:
          _end(child)

    with repeating(look, WATCH_S):
      yield

  def _started(self, words: Sequence[str], **streams: int) -> subprocess.Popen:
    try:
      # A session of its own: Ctrl-C reaches the run through `stopped_by_signals`.
      return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding='utf-8', errors='replace', start_new_session=True, **streams)
    except FileNotFoundError:
      raise UserError('there is no gcloud on this machine: install the Google Cloud CLI, or print the commands with --dry_run.') from None

  def _sleep(self, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
      if self.stopped:
        raise Stopped
      time.sleep(min(0.1, seconds))


@contextlib.contextmanager
def _ended_after(limit_s: float, process: subprocess.Popen) -> Iterator[threading.Event]:
  """Ends a process that takes longer; the event then is set."""
  late = threading.Event()
  if limit_s == float('inf'):
    yield late
    return

  def end() -> None:
    late.set()
    _end(process)

  timer = threading.Timer(limit_s, end)
  timer.daemon = True
  timer.start()
  try:
    yield late
  finally:
    timer.cancel()


def _end(process: subprocess.Popen) -> None:
  """Ends a process with those that it has started, which keep its pipes open."""
  for number in (signal.SIGTERM, signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(KILL_S)


def _refused(ran: subprocess.CompletedProcess) -> CodemixError:
  lines = ran.stderr.strip().splitlines()[-3:] or ['gcloud says nothing']
  kind = UserError if ran.returncode == UserError.exit_code else CodemixError
  return kind(f'`{shlex.join(ran.args[:6])}` ended with exit code {ran.returncode}: {" ".join(map(str.strip, lines))}')
