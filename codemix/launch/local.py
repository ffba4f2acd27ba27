"""Several processes of a run on this machine: started together, their logs apart and merged, ended together."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from codemix.errors import Preempted, UserError, exit_code_of
from codemix.launch.exit_codes import of_all

# Seconds in which the others end by themselves after one has failed; when one was asked to stop, all save a checkpoint first.
GRACE_S = 20.0
SAVING_S = 120.0
TICK_S = 0.1


@dataclasses.dataclass(frozen=True)
class Member:
  """One process of a run.

  Attributes:
    environment: variables that it has beside those of this process.
    words: its command line.
  """

  environment: Mapping[str, str]
  words: Sequence[str]

  def __str__(self) -> str:
    """As a line of a shell."""
    variables = [f'{name}={shlex.quote(value)}' for name, value in self.environment.items()]
    return ' '.join([*variables, shlex.join(self.words)])


def members(verb: str, gin_arguments: Sequence[str], devices: Sequence[Mapping[str, str]]) -> list[Member]:
  """The processes of a run on this machine; process 0 listens at a port that is free now.

  Args:
    gin_arguments: the gin flags of the run.
    devices: the variables that give each process its devices: `cpu_devices` or `gpu_devices`.
  """
  processes = len(devices)
  if processes == 1:
    return [Member(devices[0], ('codemix', verb, *gin_arguments))]
  with socket.create_server(('localhost', 0)) as probe:
    port = probe.getsockname()[1]
  joined = (f'--coordinator_address=localhost:{port}', f'--num_processes={processes}')
  return [Member(devices[k], ('codemix', verb, *gin_arguments, *joined, f'--process_id={k}')) for k in range(processes)]


def cpu_devices(processes: int, each: int) -> list[dict[str, str]]:
  """Variables for `each` virtual devices of CPUs in each process."""
  flags = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count={each}'.strip()
  return [{'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flags}] * processes


def gpu_devices(processes: int, gpus: Sequence[str]) -> list[dict[str, str]]:
  """Variables that divide the GPUs evenly among the processes. Raises UserError if that is impossible."""
  if len(gpus) % processes:
    raise UserError(f'{len(gpus)} GPUs cannot be divided evenly among {processes} processes; choose --processes among the divisors of {len(gpus)}.')
  each = len(gpus) // processes
  return [{'CUDA_VISIBLE_DEVICES': ','.join(gpus[k * each : (k + 1) * each])} for k in range(processes)]


def visible_gpus() -> list[str]:
  """The GPUs that CUDA would show to this process, by number or name; [] without a driver."""
  if (visible := os.environ.get('CUDA_VISIBLE_DEVICES')) is not None:
    return [name for name in visible.split(',') if name.strip()]
  try:
    listed = subprocess.run(['nvidia-smi', '--list-gpus'], capture_output=True, text=True, timeout=60, check=True)
  except (OSError, subprocess.SubprocessError):
    return []
  return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith('GPU ')]


class LocalProcesses:
  """Processes of this machine by number, with their logs.

  Args:
    logs: the folder of their logs, `process-K.log` each, to which every start appends.
    show: called with each line of a log and the process's number.
    show_result: called with each line that a process writes to stdout.
  """

  def __init__(self, logs: Path, show: Callable[[int, str], None], show_result: Callable[[str], None]):
    self._logs, self.show, self._show_result = logs, show, show_result
    self.running: dict[int, subprocess.Popen] = {}  # also those that have ended, until `finish`
    self._readers: dict[int, list[threading.Thread]] = {}
    self.stopped_by: int | None = None  # the signal that asked this process to stop

  def start(self, number: int, member: Member) -> None:
    self._logs.mkdir(parents=True, exist_ok=True)
    log = open(self._logs / f'process-{number}.log', 'a', encoding='utf-8')  # noqa: SIM115 (closed by the reader of stderr)
    self.running[number] = process = _start(member)
    self._readers[number] = list(self._read(number, process, log))
    if self.stopped_by:  # before it was there
      process.send_signal(self.stopped_by)

  def finish(self, number: int) -> int:
    """Waits for a process, and for the last line of its log; its return code, which is negative if a signal ended it."""
    with self.running.pop(number) as process:
      code = process.wait()
      for reader in self._readers.pop(number):
        reader.join(GRACE_S)
    return code

  def send(self, number: int) -> None:
    """Sends a signal to every process."""
    for process in self.running.values():
      with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)

  def stop(self, number: int) -> None:
    """Asks every process to end, also those that are started later."""
    self.stopped_by = number
    self.send(number)

  @contextlib.contextmanager
  def stopped_by_signals(self) -> Iterator[None]:
    """SIGTERM and Ctrl-C to this process stop the others."""
    before = {number: signal.signal(number, lambda received, frame: self.stop(received)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  @contextlib.contextmanager
  def ended(self) -> Iterator[None]:
    """What still runs at the end is killed."""
    try:
      yield
    finally:
      self.send(signal.SIGKILL)
      for number in list(self.running):
        self.finish(number)

  def _read(self, number: int, process: subprocess.Popen, log: IO[str]) -> Iterator[threading.Thread]:
    print(f'--- {time.strftime("%Y-%m-%d %H:%M:%S")} pid {process.pid}', file=log, flush=True)

    def of_stderr(stream: IO[str]) -> None:
      with log:
        for line in stream:
          log.write(line)
          log.flush()
          self.show(number, line.rstrip('\n'))

    def of_stdout(stream: IO[str]) -> None:
      for line in stream:
        self._show_result(line.rstrip('\n'))

    for read, stream in ((of_stderr, process.stderr), (of_stdout, process.stdout)):
      thread = threading.Thread(target=read, args=(stream,), daemon=True)
      thread.start()
      yield thread


def run_together(processes: LocalProcesses, of: Sequence[Member]) -> int:
  """Starts the processes of one run and waits for them: when one fails, all end.

  Returns:
    The exit code of the run, as `of_all` makes it of those of the processes.
  """
  with processes.ended():
    for number, member in enumerate(of):
      processes.start(number, member)
    return _wait(processes)


def _wait(processes: LocalProcesses) -> int:
  failed, deadline = None, None
  while None in [process.poll() for process in processes.running.values()]:
    if failed is None and (failed := _cause(processes)) is not None:
      code = exit_code(processes, failed, processes.running[failed].returncode)
      processes.show(failed, f'ended with exit code {code}; the others end, too')
      deadline = time.monotonic() + (SAVING_S if code == Preempted.exit_code else GRACE_S)
    if deadline and time.monotonic() > deadline:
      break
    time.sleep(TICK_S)
  if failed is None and (failed := _cause(processes)) is not None:  # all ended within a tick
    exit_code(processes, failed, processes.running[failed].returncode)
  return of_all(exit_code_of(process.returncode) for process in processes.running.values() if process.returncode is not None)


def _cause(processes: LocalProcesses) -> int | None:
  """The process that failed first, as far as is known: one ended by a signal, since the others notice that within a tick."""
  failed = [number for number, process in processes.running.items() if process.returncode]
  return min(failed, key=lambda number: processes.running[number].returncode > 0, default=None)


def exit_code(processes: LocalProcesses, number: int, returned: int) -> int:
  """The exit code of a process of `subprocess` as a shell has it; if a signal ended it, its log then says so."""
  if returned < 0:
    processes.show(number, f'was ended by {signal.Signals(-returned).name}')
  return exit_code_of(returned)


def _start(member: Member) -> subprocess.Popen:
  words, environment = [sys.executable, '-m', *member.words], {**os.environ, **member.environment}
  piped = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'encoding': 'utf-8', 'errors': 'replace'}
  # A session of its own: Ctrl-C reaches it through `stop`, once.
  return subprocess.Popen(words, env=environment, start_new_session=True, **piped)
