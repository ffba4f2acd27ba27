"""A study on the devices of this machine, several stages at once: each process has its own devices, and takes the next stage when it is free."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from codemix.errors import PeerEnded, Preempted, UserError
from codemix.launch.exit_codes import RESTARTED, of_all
from codemix.launch.local import SAVING_S, TICK_S, LocalProcesses, Member, exit_code
from codemix.launch.restarts import Restarts


@dataclasses.dataclass(frozen=True)
class StageJob:
  """What is left of a stage: one process trains it and evaluates its checkpoint, and compiles once for both.

  Attributes:
    stage: the name of its folder.
    units: keys of its units, in the order in which they run.
    needs: the stages that must be done before.
  """

  stage: str
  units: tuple[str, ...]
  needs: frozenset[str]

  def member(self, gin_arguments: Sequence[str], devices: Mapping[str, str]) -> Member:
    return Member(devices, ('codemix', 'study', *(f'--unit={key}' for key in self.units), *gin_arguments))


def stage_jobs(needs: Mapping[str, Sequence[str]]) -> list[StageJob]:
  """The stages of which something is left, each after those that it needs.

  Args:
    needs: keys of the units that are not done -> those that each needs, each after those.
  """
  units: dict[str, list[str]] = {}
  for key in needs:
    units.setdefault(_stage(key), []).append(key)
  return [StageJob(stage, tuple(keys), frozenset(_stage(need) for key in keys for need in needs[key] if need in needs) - {stage}) for stage, keys in units.items()]


def _stage(key: str) -> str:
  return key.partition('/')[2]


@dataclasses.dataclass
class LocalUnits:
  """Runs the jobs of a study.

  Attributes:
    devices: the variables that give each process its devices; as many jobs run at once.
    done: the keys of the units of the study that are done now.
    restarts: how often jobs are started again, all of them together, after an exit code that this may help against.
    failed: exit codes of jobs, by stage.
    left_out: stages that were not begun because of what failed.
  """

  processes: LocalProcesses
  gin_arguments: Sequence[str]
  devices: Sequence[Mapping[str, str]]
  done: Callable[[], Collection[str]]
  restarts: Restarts = dataclasses.field(default_factory=Restarts)
  failed: dict[str, int] = dataclasses.field(default_factory=dict)
  left_out: tuple[str, ...] = ()
  _untrained: set[str] = dataclasses.field(default_factory=set)  # of `failed`: those that others cannot begin with

  def run(self, jobs: Sequence[StageJob]) -> int:
    """Runs the jobs; one that fails does not stop the others, but for those that need it.

    Returns:
      0, or the exit code of the run, as `of_all` makes it of those of the jobs; if this process was asked to stop, of those that were at work,
      and 75 or, after Ctrl-C, 130 if all of these had ended well.
    """
    waiting, working = {job.stage: job for job in jobs}, {}
    with self.processes.ended():
      while not self.processes.stopped_by and self._start(waiting, working):
        time.sleep(TICK_S)
        if not self.processes.stopped_by:
          for number in [number for number in working if self.processes.running[number].poll() is not None]:
            self._end(number, working.pop(number), waiting)
      if self.processes.stopped_by:
        return self._stop(working)
    self.left_out += tuple(waiting)
    return of_all(self.failed.values())

  def _start(self, waiting: dict[str, StageJob], working: dict[int, StageJob]) -> bool:
    """Gives each free process the next job whose stages are done; whether one is at work then."""
    for number in (number for number in range(len(self.devices)) if number not in working):
      to_come = {*waiting, *(job.stage for job in working.values()), *self._untrained}
      job = next((job for job in waiting.values() if not job.needs & to_come), None)
      if job is None:
        break
      working[number] = waiting.pop(job.stage)
      self.processes.show(number, f'{job.stage}: {", ".join(key.partition("/")[0] for key in job.units)}')
      self.processes.start(number, job.member(self.gin_arguments, self.devices[number]))
    return bool(working)

  def _end(self, number: int, job: StageJob, waiting: dict[str, StageJob]) -> None:
    code = exit_code(self.processes, number, self.processes.finish(number))
    if self.restarts.allow(code):
      waiting[job.stage] = job
      self.processes.show(number, f'{job.stage} ended with exit code {code}; it starts again, and resumes from its last checkpoint')
    elif code:
      self.failed[job.stage] = code
      self.processes.show(number, f'{job.stage} ended with exit code {code}; {self._after_failure(job, code, waiting)}')

  def _after_failure(self, job: StageJob, code: int, waiting: dict[str, StageJob]) -> str:
    """What becomes of the other stages, in words."""
    done = self.done()
    if f'train/{job.stage}' in done:  # its evaluation failed, which no other stage needs
      return 'it is trained, so the stages that begin with it go on'
    self._untrained.add(job.stage)
    if code == UserError.exit_code and not done:  # a mesh that does not fit the devices, say: each would end so
      self.left_out += tuple(waiting)
      waiting.clear()
      return 'nothing of the study is done yet, so no other stage is begun'
    return 'the stages that need it are left out'

  def _stop(self, working: Mapping[int, StageJob]) -> int:
    """Waits while the processes save a checkpoint."""
    deadline, codes = time.monotonic() + SAVING_S, []
    while time.monotonic() < deadline and any(self.processes.running[number].poll() is None for number in working):
      time.sleep(TICK_S)
    stopped = Preempted.exit_code if self.processes.stopped_by == signal.SIGTERM else 128 + self.processes.stopped_by
    for number, job in working.items():
      ended = self.processes.running[number].poll() is not None
      codes.append(exit_code(self.processes, number, self.processes.finish(number)) if ended else PeerEnded.exit_code)
      if codes[-1] not in (0, stopped, *RESTARTED):
        self.failed[job.stage] = codes[-1]
    return of_all(codes) or stopped
