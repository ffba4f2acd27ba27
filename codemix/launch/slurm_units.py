"""A study as job arrays of SLURM, whose tasks run a unit each and wait for each other, and a job that writes the report when all have ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codemix.launch.slurm import SlurmJob
from codemix.launch.slurm_submission import Submission
from codemix.launch.unit_arrays import unit_arrays


def submissions(job: SlurmJob, needs: Mapping[str, Sequence[str]], study: str) -> Iterator[Submission]:
  """What is submitted for a study, in an order in which it can be.

  Args:
    job: the machines, limits and options of each.
    needs: keys of the units that are not done -> those that each needs, each after those.
    study: the study's folder.
  """
  arrays = unit_arrays({key: [need for need in before if need in needs] for key, before in needs.items()})
  for each in arrays:
    condition = 'aftercorr' if each.task is None else 'afterok'
    before = (each.needs,) if each.needs else ()
    yield Submission(each.name, job.folder / 'units' / f'{each.name}.sbatch', job.array(each.name, each.units), before, condition, each.task, each.units)
  yield Submission('report', job.folder / 'report.sbatch', job.reporting(study), tuple(each.name for each in arrays), 'afterany')
