"""A job or job array that is submitted to SLURM, and what it waits for."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from codemix.errors import CodemixError, UserError

AGAIN = 'CODEMIX_AGAIN'  # is set in a job that was submitted again by itself


@dataclasses.dataclass(frozen=True)
class Submission:
  """What is submitted.

  Attributes:
    name: 'train', or of a job array 'train-1'.
    file, text: its batch file.
    needs: names of those that it waits for.
    condition: 'afterok': they must succeed, else it is cancelled; 'aftercorr': the same of each task of a job array and the task there
      with its index; 'afterany': they must have ended.
    task: the index of the one task that it waits for; None if it waits for all.
    units: of a job array: keys of units by the indices of tasks.
  """

  name: str
  file: Path
  text: str
  needs: tuple[str, ...] = ()
  condition: str = 'afterok'
  task: int | None = None
  units: Mapping[int, str] = dataclasses.field(default_factory=dict)

  def options(self, jobs: Mapping[str, str]) -> tuple[str, ...]:
    """Options of sbatch.

    Args:
      jobs: the numbers of jobs by name.
    """
    if not self.needs:
      return ()
    task = '' if self.task is None else f'_{self.task}'
    return (f'--dependency={":".join([self.condition, *(f"{jobs[name]}{task}" for name in self.needs)])}', '--kill-on-invalid-dep=yes')

  def jobs(self, number: str) -> dict[str, str]:
    """The number of the job by its name, or those of the tasks by their units."""
    return {unit: f'{number}_{index}' for index, unit in self.units.items()} or {self.name: number}


def submit(file: Path, *options: str) -> str:
  """Submits a batch file; returns the number of its job.

  Raises UserError if there is no sbatch here, and CodemixError with SLURM's words if it refuses the job.
  """
  try:
    ran = subprocess.run(['sbatch', '--parsable', *options, str(file)], env=_environment(), capture_output=True, text=True, check=False)
  except FileNotFoundError:
    raise UserError('there is no sbatch on this machine: submit from a login node of the cluster, or print the files with --dry_run.') from None
  if ran.returncode:
    raise CodemixError(f'SLURM refuses {file}: {ran.stderr.strip()}')
  return ran.stdout.strip().partition(';')[0]


def cancel(jobs: Iterable[str]) -> None:
  subprocess.run(['scancel', *jobs], check=False)


def _environment() -> dict[str, str]:
  """The variables of this process, which SLURM passes on to the job, without those that describe the job that this process may be in."""
  if 'SLURM_JOB_ID' not in os.environ:
    return dict(os.environ)
  return {name: value for name, value in os.environ.items() if name == 'SLURM_CONF' or not name.startswith('SLURM_') and name != AGAIN}
