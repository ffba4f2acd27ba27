"""What the batch files do when their processes end, with commands in SLURM's place that note what they are asked."""

from __future__ import annotations

import dataclasses
import os
import subprocess

import pytest

from codemix.errors import UserError
from codemix.launch.slurm import SlurmJob

SRUN = """#!/bin/bash
while [ "$1" != bash ]; do shift; done
worst=${OWN:-0} rank=0
sleep "${SLOW:-0}"
for code in $CODES; do
  SLURM_PROCID=$rank bash -c "$3" "$4" bash -c "exit $code"
  [ "$code" -le "$worst" ] || worst=$code
  rank=$((rank + 1))
done
exit "$worst"
"""
SCONTROL = """#!/bin/bash
case $1 in
  show) echo "JobId=$3 JobName=a JobState=${STATE:-RUNNING Reason=None} EndTime=${END:-Unknown} PreemptTime=${PREEMPTED:-None} Comment=(null) " ;;
  *) echo "$*" >>"$NOTES" ;;
esac
"""
SBATCH = """#!/bin/bash
echo "sbatch $*" >>"$NOTES"
"""


@pytest.fixture
def job(tmp_path) -> SlurmJob:
  (tmp_path / 'bin').mkdir()
  for name, text in (('srun', SRUN), ('scontrol', SCONTROL), ('sbatch', SBATCH)):
    (tmp_path / 'bin' / name).write_text(text)
    (tmp_path / 'bin' / name).chmod(0o755)
  return SlurmJob(('--gin_file=a.gin',), tmp_path / 'out', tmp_path, nodes=2, time='1:00:00', restarts=1)


def ended(job: SlurmJob, codes: str, **variables: str) -> tuple[int, list[str], str]:
  """(exit code, what SLURM was asked, what the log says) of a start of the job whose processes end with these codes."""
  notes = job.working_folder / 'notes'
  notes.write_text('')
  environment = {**os.environ, 'PATH': f'{job.working_folder / "bin"}:{os.environ["PATH"]}', 'SLURM_JOB_ID': '7', 'NOTES': str(notes), 'CODES': codes, **variables}
  for name in ('CODEMIX_AGAIN', 'SLURM_RESTART_COUNT'):
    environment.setdefault(name, '')
  ran = subprocess.run(['bash', '-s'], input=job.training, env=environment, capture_output=True, text=True, check=False, timeout=60)
  assert not list((job.folder / 'state').glob('train-7*')) or 'limit' in ran.stdout
  return ran.returncode, notes.read_text().splitlines(), ran.stdout + ran.stderr


@pytest.mark.parametrize(
  ('codes', 'code', 'again'),
  [('0 0', 0, False), ('75 75', 75, True), ('76 75', 75, True), ('76 137', 137, True), ('74 0', 74, True), ('2 76', 2, False), ('76 1', 1, False), ('3 75', 3, False), ('127 76', 127, False)],
)
def test_the_code_that_no_new_start_helps_against_counts(job, codes, code, again):
  assert ended(job, codes)[:2] == (code, ['requeue 7'] if again else [])


@pytest.mark.parametrize(
  ('variables', 'again'),
  [
    ({'STATE': 'COMPLETING Reason=None'}, False),
    ({'STATE': 'CANCELLED Reason=None'}, False),
    ({'STATE': 'COMPLETING Reason=None', 'PREEMPTED': '2026-11-30T05:35:02'}, True),
    ({'STATE': 'COMPLETING Reason=TimeLimit'}, True),
    ({'STATE': 'COMPLETING Reason=NodeDown'}, True),
  ],
)
def test_a_job_that_a_person_cancels_does_not_start_again(job, variables, again):
  code, asked, said = ended(job, '75 75', **variables)
  assert code == 75 and bool(asked) == again and ('was cancelled' in said) != again


def test_failures_are_bounded_and_stops_that_slurm_asks_for_are_not(job):
  for start in range(4):
    assert ended(job, '75 75', SLURM_RESTART_COUNT=str(start))[1] == ['requeue 7']
  assert ended(job, '76 76', SLURM_RESTART_COUNT='4')[1] == ['requeue 7']
  code, asked, said = ended(job, '76 76', CODEMIX_AGAIN='1')
  assert (code, asked) == (76, []) and '1 starts after failures are all that --restarts allows' in said
  assert ended(job, '76 76')[1] == ['requeue 7']  # somebody submits the file again


def test_without_restarts_a_job_does_not_start_again_after_a_stop_either(job):
  for codes in ('75 75', '76 76'):
    assert ended(dataclasses.replace(job, restarts=0), codes)[1] == []


def test_processes_that_outlast_the_time_limit_are_not_waited_for(job):
  code, asked, said = ended(job, '0 143', SLOW='2', END='2026-01-01T00:00:00')
  assert asked == ['requeue 7'] and 'do not end before the time limit' in said and code == 143


def test_a_limit_that_leaves_no_time_to_train_is_refused(tmp_path):
  for time in ('2', '4:59', '0:02:00', '0-0:04'):
    with pytest.raises(UserError, match='give at least 5 minutes'):
      SlurmJob((), tmp_path, tmp_path, nodes=1, time=time)
  for time in ('5', '5:00', '0:05:00', '0-0:05', '1-0'):
    SlurmJob((), tmp_path, tmp_path, nodes=1, time=time)


def test_a_failure_of_srun_itself_is_judged_by_what_the_processes_said(job):
  assert ended(job, '76 76', OWN='99')[:2] == (76, ['requeue 7'])
  assert ended(job, '', OWN='99')[:2] == (99, [])


def test_a_job_without_a_limit_is_possible(tmp_path):
  assert '#SBATCH --time=0\n' in SlurmJob((), tmp_path, tmp_path, nodes=1, time='0').training


def test_what_preparing_needs_reaches_no_job_that_is_submitted_behind_it(tmp_path):
  lines = SlurmJob((), tmp_path, tmp_path, nodes=1, time='1:00:00', gpus_per_node=8, xla_flags='h100').preparing_for_units.splitlines()
  assert not [line for line in lines if 'export' in line and ('JAX_PLATFORMS' in line or 'XLA_FLAGS' in line)]
  assert [line for line in lines if 'env JAX_PLATFORMS=cpu' in line and ' prepare' in line]
  assert [line for line in lines if '--xla_flags=h100' in line and ' launch ' in line]


def test_the_data_folder_of_the_shell_that_launches_is_that_of_the_job(tmp_path):
  job = SlurmJob((), tmp_path, tmp_path, nodes=1, time='1:00:00', environment={'CODEMIX_DATA_DIR': '/a b'})
  for text in (job.training, job.preparing, job.array('one', {0: 'train/a'})):
    assert "\nexport CODEMIX_DATA_DIR='/a b'\n" in text
