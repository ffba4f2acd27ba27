"""A study as jobs of SLURM, one for each unit, that wait for each other; and one that writes the report when all have ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codemix.launch.slurm import SlurmJob

REPORT = 'report'


@dataclasses.dataclass(frozen=True)
class Submission:
  """A job that is to be submitted.

  Attributes:
    name: key of the unit, or 'report'.
    file, text: its batch file.
    needs: names of the jobs that it waits for.
    condition: 'afterok': they must succeed, else it is cancelled; 'afterany': they must have ended.
  """

  name: str
  file: Path
  text: str
  needs: tuple[str, ...]
  condition: str

  def options(self, jobs: Mapping[str, str]) -> tuple[str, ...]:
    """Options of sbatch.

    Args:
      jobs: the numbers of jobs by name.
    """
    if not self.needs:
      return ()
    return (f'--dependency={self.condition}:{":".join(jobs[name] for name in self.needs)}', '--kill-on-invalid-dep=yes')


def submissions(job: SlurmJob, needs: Mapping[str, Sequence[str]], study: str) -> Iterator[Submission]:
  """The jobs of a study in an order in which they can be submitted.

  Args:
    job: the machines, limits and options of each.
    needs: keys of the units that are not done -> those that each needs, each after those.
    study: the study's folder.
  """
  for key, before in needs.items():
    yield Submission(key, job.unit_file(key), job.unit(key), tuple(need for need in before if need in needs), 'afterok')
  yield Submission(REPORT, job.folder / 'report.sbatch', job.reporting(study), tuple(needs), 'afterany')
