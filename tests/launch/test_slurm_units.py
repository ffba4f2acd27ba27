"""A study as job arrays of SLURM, with a task for each unit: they wait for each other, and come to what this machine computes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.launch.slurm import SlurmJob
from codemix.launch.slurm_units import submissions
from codemix.storage import read_json
from tests import tiny_study
from tests.faults import runs
from tests.launch import cluster
from tests.studies import two_arms
from tests.studies.two_arms import flags

ON_CLUSTER = pytest.mark.skipif(not cluster.is_possible(), reason='SLURM (slurm-wlm, munge) is not installed, or this user may not start its daemons')
BY_UNIT = ('codemix', 'launch', 'slurm', '--by_unit', '--nodes=1', '--time=60:00', '--cpu_devices=1')
LONG = ('--gin.second/Stage.tokens=768000', '--gin.third/Stage.tokens=768000')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  return two_arms.write(tmp_path_factory.mktemp('units'))


def alone(root: Path, output: Path, *more: str) -> dict[str, object]:
  """What one process without SLURM comes to, with as many devices as a job has."""
  ran = runs.finish(runs.start('codemix', 'study', *flags(root, output, *more)))
  assert ran.returncode == 0, ran.stderr
  return runs.result_of(output)


def saved(output: Path, stage: str) -> int:
  """The last step of a stage with a whole checkpoint; 0 if there is none."""
  return max((int(path.name.split('.')[0]) for path in output.glob(f'stages/{stage}-*/checkpoints/*.digest.json')), default=0)


def submitted(root: Path, output: Path, *more: str) -> dict[str, str]:
  """The numbers of the jobs, by name of the unit without its hash."""
  launched = runs.finish(runs.start(*BY_UNIT, *flags(root, output, *more)))
  assert launched.returncode == 0, launched.stderr
  return numbers(launched.stdout)


def numbers(text: str) -> dict[str, str]:
  """The numbers of the jobs that a launch printed, by name of the unit without its hash."""
  return {name.partition('-')[0]: number for name, number in re.findall(r'^(\S+): job ([\d_]+),', text, re.MULTILINE)}


def test_what_would_be_submitted_is_an_array_for_each_group_of_units_and_a_job_for_the_report(root, tmp_path):
  ended = runs.finish(runs.start(*BY_UNIT, '--max_jobs=3', '--dry_run', *flags(root, tmp_path / 'out')))
  assert ended.returncode == 0, ended.stderr
  lines = [shlex.split(line.removeprefix('# '))[1:] for line in ended.stdout.splitlines() if line.startswith('# sbatch ')]
  never = '--kill-on-invalid-dep=yes'
  assert [[*words[:-1], Path(words[-1]).stem] for words in lines] == [
    ['train-1'],
    ['--dependency=afterok:JOB(train-1)_0', never, 'train-2'],
    ['--dependency=aftercorr:JOB(train-1)', never, 'evaluate-3'],
    ['--dependency=aftercorr:JOB(train-2)', never, 'evaluate-4'],
    ['--dependency=afterany:JOB(train-1):JOB(train-2):JOB(evaluate-3):JOB(evaluate-4)', never, 'report'],
  ]
  assert re.findall(r'^#SBATCH --array=(.*)$', ended.stdout, re.MULTILINE) == ['0%3', '0-1%3', '0%3', '0-1%3']
  assert re.findall(r'^  \[(\d)\]=(\w+/\w+)-\w+$', ended.stdout, re.MULTILINE) == [
    ('0', 'train/first'), ('0', 'train/second'), ('1', 'train/third'), ('0', 'evaluate/first'), ('0', 'evaluate/second'), ('1', 'evaluate/third'),
  ]  # fmt: skip
  assert not (tmp_path / 'out').exists()


def sources(folder: Path) -> tuple[str, ...]:
  """Flags with which the study prepares documents that this writes."""
  lines = ["Data.sources = {'text': @text/Corpus(), 'code': @code/Corpus()}", 'Corpus.reader = @JsonLines()', f"Corpus.root = '{folder}'"]
  for name in ('text', 'code'):
    for split in ('train', 'validation'):
      documents = tiny_study.documents(name, 20, 40, seed=split == 'train')
      (folder / f'{name}-{split}.jsonl').write_text(''.join(f'{json.dumps({"text": text.decode()})}\n' for text in documents))
    lines.append(f"{name}/Corpus.files = {{'train': '{name}-train.jsonl', 'validation': '{name}-validation.jsonl'}}")
  (folder / 'sources.gin').write_text('\n'.join(lines))
  return (f'--gin_file={folder / "sources.gin"}', f"--gin.Data.directory='{folder / 'data'}'")


@pytest.mark.slow
def test_what_is_not_prepared_becomes_a_job_that_prepares_and_submits_the_others_as_asked(root, tmp_path):
  asked = ('--max_jobs=3', '--restarts=7', '--sbatch=--comment=a b')
  gin = flags(root, tmp_path / 'out', *sources(tmp_path))
  ended = runs.finish(runs.start(*BY_UNIT, *asked, '--dry_run', *gin))
  assert ended.returncode == 0 and 'the job that prepares submits the others' in ended.stderr, ended.stderr
  [line] = [line for line in ended.stdout.splitlines() if line.startswith('# sbatch ')]
  assert line.endswith('launch/prepare.sbatch')
  prepare, launch = [words[words.index('codemix') :] for words in map(shlex.split, ended.stdout.splitlines()) if '-m' in words]
  assert sorted(prepare) == sorted(['codemix', 'prepare', *gin, '||', 'return'])
  assert sorted(launch) == sorted([*BY_UNIT, *asked, *gin])
  (tmp_path / 'code-train.jsonl').unlink()
  absent = runs.finish(runs.start(*BY_UNIT, *gin))
  assert absent.returncode == 2 and 'code-train.jsonl' in absent.stderr  # at once, and not when the job starts


def test_a_limit_of_arrays_without_arrays_is_refused(root, tmp_path):
  ended = runs.finish(runs.start('codemix', 'launch', 'slurm', '--nodes=1', '--time=60:00', '--cpu_devices=1', '--max_jobs=3', *flags(root, tmp_path / 'out')))
  assert ended.returncode == 2 and '--max_jobs is for the job arrays of --by_unit' in ended.stderr


def test_if_slurm_refuses_one_those_before_are_cancelled(root, tmp_path, monkeypatch):
  (tmp_path / 'sbatch').write_text(f'#!/bin/bash\ncase "$*" in *evaluate-3*) echo too many >&2; exit 1 ;; esac\necho $((10 + $(ls {tmp_path} | grep -c job)))\ntouch {tmp_path}/job$RANDOM\n')
  (tmp_path / 'scancel').write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/cancelled\n')
  for name in ('sbatch', 'scancel'):
    (tmp_path / name).chmod(0o755)
  monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
  ended = runs.finish(runs.start(*BY_UNIT, *flags(root, tmp_path / 'out')))
  assert ended.returncode == 1 and 'too many The jobs that were submitted before it are cancelled.' in ended.stderr
  assert (tmp_path / 'cancelled').read_text() == '10 11\n'


def batch_files() -> list[str]:
  job = SlurmJob(('--gin_file=a b.gin',), Path('/runs/a b'), Path('/work'), 1, '24:00:00', gpus_per_node=8)
  needs = {'train/a-1': (), 'train/b-2': ('train/a-1',), 'train/c-3': ('train/a-1',)}
  return [*(each.text for each in submissions(job, needs, 'gs://bucket/a b')), job.preparing_for_units]


def test_the_batch_files_are_shell_programs_of_one_unit_a_task():
  first, second, report, _ = texts = batch_files()
  for text in texts:
    assert subprocess.run(['bash', '-n'], input=text, text=True, capture_output=True, check=False).stderr == ''
  for text, index, unit in ((first, 0, 'a-1'), (second, 0, 'b-2'), (second, 1, 'c-3')):
    started = run_with(text, SLURM_ARRAY_JOB_ID='12', SLURM_ARRAY_TASK_ID=str(index)).stdout.splitlines()
    assert started[0] == f'train/{unit}'
    assert f'--output=/runs/a b/logs/train-{unit}-process-%t.log' in started[1] and started[1].endswith(f' -m codemix study --unit=train/{unit} --gin_file=a b.gin')
  [line] = [line for line in report.splitlines() if ' -m codemix ' in line]
  assert shlex.split(line)[-2:] == ['report', '--output=gs://bucket/a b']


def run_with(text: str, folder: str = '', **variables: str) -> subprocess.CompletedProcess:
  """Runs a batch file or lines of one, with an srun that prints what it would run, and the commands of a folder."""
  return subprocess.run(['bash', '-c', f'PATH={folder}:$PATH\nsrun() {{ echo "$@"; }}\n{text}'], env={**os.environ, **variables}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shellcheck_finds_nothing_in_the_batch_files_of_units():
  for text in batch_files():
    checked = subprocess.run(['shellcheck', '-'], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


QUEUE = """20_3 afterany:12_3(unfulfilled)
13_2 aftercorr:12_*(unfulfilled)
13_3 aftercorr:12_*(unfulfilled)
14_3 aftercorr:112_*(unfulfilled)
15 (null)
16_0 afterok:12_3(unfulfilled)
16_1 afterok:12_3(unfulfilled)
17_0 afterok:12_31(unfulfilled)
18 afterany:11_*(fulfilled),afterany:12_*(unfulfilled),afterany:13_*(unfulfilled)
19 afterany:12_*(unfulfilled),afterany:20_*(unfulfilled)
"""


def test_jobs_that_wait_for_a_task_that_is_submitted_again_wait_for_that_one(tmp_path):
  """The lines of the batch file that redirect them, with stand-ins for SLURM's commands."""
  [script] = re.findall(r'^ +squeue .*?^    +done$', batch_files()[1], re.MULTILINE | re.DOTALL)
  (tmp_path / 'squeue').write_text(f"#!/bin/bash\ncat <<'END'\n{QUEUE}END\n")
  (tmp_path / 'scontrol').write_text('#!/bin/bash\necho "$@"\n')
  for name in ('squeue', 'scontrol'):
    (tmp_path / name).chmod(0o755)
  ran = run_with(script, str(tmp_path), SLURM_ARRAY_JOB_ID='12', SLURM_ARRAY_TASK_ID='3', task='12_3', next='20')
  assert ran.stdout.splitlines() == [
    'update JobId=13_3 Dependency=aftercorr:20',
    'update JobId=16_0 Dependency=afterok:20_3',
    'update JobId=16_1 Dependency=afterok:20_3',
    'update JobId=18 Dependency=afterany:11,afterany:12,afterany:13,afterany:20',
  ]


@ON_CLUSTER
@pytest.mark.slow
def test_units_run_as_tasks_that_wait_for_those_that_they_need(root, tmp_path, monkeypatch):
  expected = alone(root, tmp_path / 'alone')
  output = tmp_path / 'out'
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output)
    assert list(jobs) == ['train/first', 'train/second', 'train/third', 'evaluate/first', 'evaluate/second', 'evaluate/third', 'report']
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 240)
    assert {slurm.state(job) for job in jobs.values()} == {'COMPLETED'}
    assert list(submitted(root, output)) == ['report']  # all else is done
  runs.assert_same(runs.result_of(output), expected)
  assert (output / 'report.html').is_file()


@ON_CLUSTER
@pytest.mark.slow
def test_without_data_a_job_prepares_them_and_submits_the_others(root, tmp_path, monkeypatch):
  (prepared := tmp_path / 'prepared').mkdir()
  expected = alone(root, tmp_path / 'alone', *sources(prepared))
  (unprepared := tmp_path / 'unprepared').mkdir()
  output = tmp_path / 'out'
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output, *sources(unprepared))
    assert list(jobs) == ['prepare']
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 300)
    jobs |= numbers((output / 'logs' / f'prepare-{jobs["prepare"]}.log').read_text())
    assert len(jobs) == 8 and {slurm.state(job) for job in jobs.values()} == {'COMPLETED'}
  runs.assert_same(runs.result_of(output), expected)


@ON_CLUSTER
@pytest.mark.slow
def test_a_task_that_fails_stops_those_alone_that_need_it(root, tmp_path, monkeypatch):
  output = tmp_path / 'out'
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output)
    [folder] = re.findall(r'train/(third-\w+)', (output / 'launch' / 'units' / 'train-2.sbatch').read_text())
    (damage := output / 'stages' / folder).parent.mkdir(exist_ok=True)
    damage.write_text('a file where the folder should be')
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 240)
    states = {name: slurm.state(job) for name, job in jobs.items()}
    assert states.pop('train/third') == 'FAILED' and states.pop('evaluate/third') == 'CANCELLED'
    assert set(states.values()) == {'COMPLETED'}
    damage.unlink()
    assert list(submitted(root, output)) == ['train/third', 'evaluate/third', 'report']


@contextlib.contextmanager
def both_arms_train(root: Path, output: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> Iterator[tuple[cluster.Cluster, dict[str, str]]]:
  """A cluster on which both arms have saved a checkpoint, and the numbers of the jobs by unit."""
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    jobs = submitted(root, output, *flags, *LONG)
    slurm.wait(lambda: saved(output, 'second') and saved(output, 'third'), 'checkpoints of both arms')
    yield slurm, jobs


@ON_CLUSTER
@pytest.mark.slow
def test_a_drained_node_and_a_preemption_change_no_result(root, tmp_path, monkeypatch):
  expected, output = alone(root, tmp_path / 'alone', *LONG), tmp_path / 'out'
  with both_arms_train(root, output, monkeypatch) as (slurm, jobs):
    node = slurm('squeue', '-h', '-j', jobs['train/second'], '-o', '%N').strip()
    slurm('scontrol', 'update', f'NodeName={node}', 'State=DRAIN', 'Reason=test')
    slurm('scontrol', 'requeue', jobs['train/second'])
    slurm.wait(lambda: 'PENDING' in slurm.state(jobs['train/second']), 'a job that was requeued')
    slurm('scontrol', 'update', f'NodeName={node}', 'State=RESUME')
    before = saved(output, 'second')
    slurm.wait(lambda: slurm.jobs() and saved(output, 'second') > before, 'the job again')
    slurm('sbatch', '--partition=high', '--nodes=2', '--output=/dev/null', '--wrap=sleep 2')  # preempts, and cancels
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 400)
    assert {slurm.state(job) for job in jobs.values()} == {'COMPLETED'}
  runs.assert_same(runs.result_of(output), expected)
  record = read_json(output / 'study.json')
  assert len(record['stages']) == 3 and (output / 'report.html').is_file()


@ON_CLUSTER
@pytest.mark.slow
def test_tasks_that_are_cancelled_at_once_and_cannot_be_requeued_are_submitted_again(root, tmp_path, monkeypatch):
  """Each by itself, with those that wait for it; and the report is last."""
  expected, output = alone(root, tmp_path / 'alone', *LONG), tmp_path / 'out'
  with both_arms_train(root, output, monkeypatch, '--sbatch=--no-requeue') as (slurm, jobs):
    slurm('sbatch', '--partition=high', '--nodes=2', '--output=/dev/null', '--wrap=sleep 2')
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 400)
    states = {name: slurm.state(job) for name, job in jobs.items()}
    assert 'COMPLETED' not in (states.pop('train/second'), states.pop('train/third')) and set(states.values()) == {'COMPLETED'}
    times = [line.split() for line in slurm('squeue', '-h', '-a', '-t', 'COMPLETED', '-o', '%e %S %i').splitlines()]
    assert max(times)[2] == jobs['report'] and max(times)[1] >= sorted(times)[-2][0] and len(times) == 8
  runs.assert_same(runs.result_of(output), expected)
