"""A study as jobs of SLURM, one for each unit: they wait for each other, and come to what this machine computes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from codemix.launch.slurm import SlurmJob
from codemix.launch.slurm_units import submissions
from codemix.storage import read_json
from tests.faults import runs
from tests.launch import cluster
from tests.studies import two_arms
from tests.studies.two_arms import flags

ON_CLUSTER = pytest.mark.skipif(not cluster.is_possible(), reason='SLURM (slurm-wlm, munge) is not installed, or this user may not start its daemons')
BY_UNIT = ('codemix', 'launch', 'slurm', '--by_unit', '--nodes=1', '--time=60:00', '--cpu_devices=1')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  return two_arms.write(tmp_path_factory.mktemp('units'))


def alone(root: Path, output: Path, *more: str) -> dict[str, object]:
  """What one process without SLURM comes to, with as many devices as a job has."""
  ran = runs.finish(runs.start('codemix', 'study', *flags(root, output, *more)))
  assert ran.returncode == 0, ran.stderr
  return runs.result_of(output)


def submitted(root: Path, output: Path, *more: str) -> dict[str, str]:
  """The numbers of the jobs, by name of the unit without its hash."""
  launched = runs.finish(runs.start(*BY_UNIT, *flags(root, output, *more)))
  assert launched.returncode == 0, launched.stderr
  return {name.partition('-')[0]: number for name, number in re.findall(r'^(\S+): job (\d+),', launched.stdout, re.MULTILINE)}


def test_what_would_be_submitted_is_a_job_for_each_unit_and_one_for_the_report(root, tmp_path):
  ended = runs.finish(runs.start(*BY_UNIT, '--dry_run', *flags(root, tmp_path / 'out')))
  assert ended.returncode == 0, ended.stderr
  lines = [shlex.split(line.removeprefix('# ')) for line in ended.stdout.splitlines() if line.startswith('# sbatch ')]
  key = lambda words: Path(words[-1]).stem.partition('-')[2].rpartition('-')[0]
  assert [Path(words[-1]).stem.rpartition('-')[0] or 'report' for words in lines] == ['train-first', 'evaluate-first', 'train-second', 'evaluate-second', 'train-third', 'evaluate-third', 'report']
  first, *others, report = lines
  assert len(first) == 2 and report[1].count('JOB(') == 6 and report[1].startswith('--dependency=afterany:')
  for words in others:
    needed = re.fullmatch(r'--dependency=afterok:JOB\((\w+)/(\w+)-\w+\)', words[1])
    assert words[2] == '--kill-on-invalid-dep=yes'
    assert needed.groups() == (('train', key(words)) if 'evaluate' in words[-1] else ('train', 'first'))
  assert not (tmp_path / 'out').exists()


def test_without_data_the_command_that_prepares_is_named(root, tmp_path):
  ended = runs.finish(runs.start(*BY_UNIT, *flags(root, tmp_path / 'out', f"--gin.Data.directory='{tmp_path / 'none'}'")))
  assert ended.returncode == 2 and 'Run `codemix prepare --gin_file=' in ended.stderr


def batch_files() -> list[str]:
  job = SlurmJob(('--gin_file=a b.gin',), Path('/runs/a b'), Path('/work'), 1, '24:00:00', gpus_per_node=8)
  return [each.text for each in submissions(job, {'train/a-1': (), 'train/b-2': ('train/a-1',)}, 'gs://bucket/a b')]


def test_the_batch_files_are_shell_programs_of_one_unit_each():
  texts = batch_files()
  for text in texts:
    assert subprocess.run(['bash', '-n'], input=text, text=True, capture_output=True, check=False).stderr == ''
  programs = [shlex.split(line) for text in texts for line in text.splitlines() if ' -m codemix ' in line]
  assert [words[words.index('codemix') + 1 :] for words in programs] == [['study', '--unit=train/a-1', '--gin_file=a b.gin'], ['study', '--unit=train/b-2', '--gin_file=a b.gin'], ['report', '--output=gs://bucket/a b']]


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shellcheck_finds_nothing_in_the_batch_files_of_units():
  for text in batch_files():
    checked = subprocess.run(['shellcheck', '-'], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_jobs_that_wait_for_one_that_is_submitted_again_wait_for_that_one(tmp_path):
  """The lines of the batch file that redirect them, with stand-ins for SLURM's commands."""
  text = batch_files()[1]
  [script] = re.findall(r'^ +squeue .*?^ +done$', text, re.MULTILINE | re.DOTALL)
  (tmp_path / 'squeue').write_text('#!/bin/bash\nprintf "%s\\n" "20 afterany:12(unfulfilled)" "13 afterok:12(unfulfilled)" "14 afterok:12(unfulfilled),afterok:112(unfulfilled)" "15 (null)" "16 afterok:121(unfulfilled)" "17 afterany:11(fulfilled),afterany:12(failed)"\n')
  (tmp_path / 'scontrol').write_text('#!/bin/bash\necho "$@"\n')
  for name in ('squeue', 'scontrol'):
    (tmp_path / name).chmod(0o755)
  ran = subprocess.run(['bash', '-c', f'PATH={tmp_path}:$PATH\nSLURM_JOB_ID=12 next=20\n{script}'], capture_output=True, text=True, check=True)
  assert ran.stdout.splitlines() == [
    'update JobId=13 Dependency=afterok:20',
    'update JobId=14 Dependency=afterok:20,afterok:112',
    'update JobId=17 Dependency=afterany:11,afterany:20',
  ]


@ON_CLUSTER
@pytest.mark.slow
def test_units_run_as_jobs_that_wait_for_those_that_they_need(root, tmp_path, monkeypatch):
  expected = alone(root, tmp_path / 'alone')
  output = tmp_path / 'out'
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output)
    assert list(jobs) == ['train/first', 'evaluate/first', 'train/second', 'evaluate/second', 'train/third', 'evaluate/third', 'report']
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 240)
    assert {slurm.state(job) for job in jobs.values()} == {'COMPLETED'}
  runs.assert_same(runs.result_of(output), expected)
  assert (output / 'report.html').is_file()


@ON_CLUSTER
@pytest.mark.slow
def test_a_drained_node_and_a_preemption_change_no_result(root, tmp_path, monkeypatch):
  more = ('--gin.second/Stage.tokens=768000', '--gin.third/Stage.tokens=768000')
  expected = alone(root, tmp_path / 'alone', *more)
  output = tmp_path / 'out'
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output, *more)
    saved = lambda stage: max((int(path.name.split('.')[0]) for path in output.glob(f'stages/{stage}-*/checkpoints/*.digest.json')), default=0)
    slurm.wait(lambda: saved('second') and saved('third'), 'checkpoints of both arms')
    node = slurm('squeue', '-h', '-j', jobs['train/second'], '-o', '%N').strip()
    slurm('scontrol', 'update', f'NodeName={node}', 'State=DRAIN', 'Reason=test')
    slurm('scontrol', 'requeue', jobs['train/second'])
    slurm.wait(lambda: 'PENDING' in slurm.state(jobs['train/second']), 'a job that was requeued')
    slurm('scontrol', 'update', f'NodeName={node}', 'State=RESUME')
    before = saved('second')
    slurm.wait(lambda: slurm.jobs() and saved('second') > before, 'the job again')
    slurm('sbatch', '--partition=high', '--nodes=2', '--output=/dev/null', '--wrap=sleep 2')  # preempts, and cancels
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 400)
    assert slurm.state(jobs['report']) == 'COMPLETED' == slurm.state(jobs['evaluate/third'])
  runs.assert_same(runs.result_of(output), expected)
  record = read_json(output / 'study.json')
  assert len(record['stages']) == 3 and (output / 'report.html').is_file()
