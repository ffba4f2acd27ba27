"""A job of SLURM goes on after a time limit, a lost node and a preemption, and ends in what this machine computes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.launch.slurm import SlurmJob
from codemix.launch.slurm_submission import submit
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.faults import runs
from tests.launch import cluster, small_run

ODD = st.text(st.characters(blacklist_categories=('Cs', 'Cc', 'Zl', 'Zp')), min_size=1)


def asked_to_stop(slurm: cluster.Cluster, job: str) -> None:
  """What SLURM does 120 s before the time limit."""
  slurm('scancel', '--signal=TERM', job)


def near_its_limit(slurm: cluster.Cluster, job: str) -> None:
  slurm('scontrol', 'update', f'JobId={job}', 'TimeLimit=2')  # SLURM looks every 30 s


@pytest.mark.skipif(not cluster.is_possible(), reason='SLURM (slurm-wlm, munge) is not installed, or this user may not start its daemons')
@pytest.mark.parametrize(('stop', 'steps'), [(asked_to_stop, 800), pytest.param(near_its_limit, 3000, marks=pytest.mark.slow)])
def test_a_job_goes_on_after_everything_that_ends_it_and_computes_what_this_machine_does(stop, steps, tmp_path, monkeypatch):
  tiny_study.prepare(tmp_path / 'data', bytes_each=60_000)
  flags, output = small_run.flags(GIN, tmp_path / 'data', tmp_path, steps), tmp_path / 'out'
  alone = runs.finish(runs.start('codemix', 'launch', 'local', '--processes=2', '--cpu_devices=1', *flags))
  assert alone.returncode == 0, alone.stderr
  expected = small_run.results(output)
  shutil.rmtree(output)

  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    words = ('codemix', 'launch', 'slurm', '--nodes=2', '--time=60:00', '--cpu_devices=1', *flags)
    launched = runs.finish(runs.start(*words))
    assert launched.returncode == 0, launched.stderr
    job = slurm.jobs()[0]

    def starts_again(why: str) -> None:
      step = small_run.saved_step(output)
      slurm.wait(lambda: slurm.jobs() and small_run.saved_step(output) > step, f'start {why}')

    def ends(why: str) -> None:
      slurm.wait(lambda: slurm.state(job) != 'RUNNING', f'end {why}')

    starts_again('at first')
    stop(slurm, job)
    ends('before the time limit')
    starts_again('after the time limit')
    slurm('scontrol', 'update', f'JobId={job}', 'TimeLimit=60')
    slurm.stop_node(cluster.NODES[1])
    ends('with a lost node')
    slurm.start_node(cluster.NODES[1])
    starts_again('after a lost node')
    slurm('scancel', job)
    slurm.wait(lambda: not slurm.jobs(), 'end of a job that was cancelled')
    cancelled, log = slurm.state(job), output / 'logs' / f'train-{job}.log'
    assert cancelled == 'CANCELLED' and 'the job was cancelled, so it does not start again' in log.read_text()
    assert runs.finish(runs.start(*words)).returncode == 0
    [job] = slurm.jobs()
    starts_again('of another launch')
    slurm('sbatch', '--partition=high', '--nodes=2', '--output=/dev/null', '--wrap=sleep 2')
    ends('by preemption, PreemptMode=CANCEL')
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 400)
    assert slurm.state(job) == 'COMPLETED'
  assert small_run.results(output) == expected
  assert log.read_text().count('Exited with exit code 75') == 4 and 'Exited with exit code 76' in log.read_text()
  assert (output / 'logs' / f'train-{job}.log').read_text().count('Exited with exit code 75') == 2


def job(**changes) -> SlurmJob:
  return SlurmJob(**({'gin_arguments': ('--gin_file=a.gin',), 'output': Path('/runs/a'), 'working_folder': Path('/work'), 'nodes': 4, 'time': '24:00:00', 'gpus_per_node': 8} | changes))


@given(folder=ODD.filter(lambda text: '/' not in text and text.strip('.')), binding=ODD)
def test_the_batch_file_is_a_shell_program_whatever_is_in_its_names(folder, binding):
  made = job(output=Path('/runs') / folder, gin_arguments=(f'--gin.Study.note={binding}',))
  for text in (made.training, made.preparing):
    assert subprocess.run(['bash', '-n'], input=text, text=True, capture_output=True, check=False).stderr == ''
    [line] = [line for line in text.splitlines() if ' -m codemix ' in line]
    assert shlex.split(line)[-1] == f'--gin.Study.note={binding}'


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
@pytest.mark.parametrize('changes', [{}, {'gpus_per_node': 0}, {'output': Path('/runs/a b'), 'options': ('--comment=a b',)}])
def test_shellcheck_finds_nothing_in_the_batch_files(changes):
  for text in (job(**changes).training, job(**changes).preparing):
    checked = subprocess.run(['shellcheck', '-'], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_percent_sign_of_a_folder_is_none_of_slurms():
  text = job(output=Path('/runs/50%j')).training
  assert '#SBATCH --output=/runs/50%%j/logs/train-%j.log' in text and '--output=/runs/50%%j/logs/process-%t.log' in text


def test_the_file_for_gpus_names_nodes_gpus_limit_and_options():
  lines = job(options=('--partition=gpu', '--comment=a b'), restarts=3).training.splitlines()
  for line in ('--output=/runs/a/logs/train-%j.log', '--chdir=/work', '--nodes=4 --ntasks-per-node=1', '--gpus-per-node=8', '--time=24:00:00', '--signal=TERM@120', '--requeue --open-mode=append', '--partition=gpu', '"--comment=a b"'):
    assert f'#SBATCH {line}' in lines
  assert not any('JAX_PLATFORMS' in line for line in lines) and 'restarts=3' in lines


@pytest.mark.parametrize(
  ('changes', 'message'),
  [({'time': 'a day'}, "--time is 'a day'"), ({'options': ('partition=gpu',)}, "--sbatch is 'partition=gpu'"), ({'options': ('--a\n#SBATCH --b',)}, 'one option of sbatch')],
)
def test_wrong_settings_are_refused(changes, message):
  with pytest.raises(UserError, match=message):
    job(**changes)


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('slurm', '--nodes=2', '--time=1:00:00'), 'a job of SLURM needs --nodes, --time, and --gpus_per_node or --cpu_devices'),
    (('slurm', '--nodes=2', '--processes=2'), '--processes is for `local`, not for slurm'),
    (('local', '--nodes=2'), '--nodes is for `slurm`, `jobset` and `skypilot`, not for local'),
  ],
)
def test_flags_of_another_place_are_refused(words, message, tmp_path):
  ended = runs.finish(runs.start('codemix', 'launch', *words, *small_run.flags(GIN, tmp_path, tmp_path)))
  assert ended.returncode == 2 and message in ended.stderr and 'Traceback' not in ended.stderr


def test_without_sbatch_the_message_says_where_to_go(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(UserError, match='no sbatch on this machine: submit from a login node'):
    submit(tmp_path / 'train.sbatch')


def test_a_job_that_submits_another_does_not_pass_on_what_describes_itself(tmp_path, monkeypatch):
  (tmp_path / 'sbatch').write_text(f'#!/bin/bash\nenv > {tmp_path}/passed\necho 12\n')
  (tmp_path / 'sbatch').chmod(0o755)
  for name, value in {'PATH': f'{tmp_path}:/usr/bin:/bin', 'SLURM_JOB_ID': '11', 'SLURM_NTASKS': '1', 'CODEMIX_AGAIN': '1', 'SLURM_CONF': '/etc/slurm.conf', 'MINE': '1'}.items():
    monkeypatch.setenv(name, value)
  assert submit(tmp_path / 'train.sbatch') == '12'
  passed = dict(line.split('=', 1) for line in (tmp_path / 'passed').read_text().splitlines() if '=' in line)
  assert passed['MINE'] == '1' and 'CODEMIX_AGAIN' not in passed and [name for name in passed if name.startswith('SLURM_')] == ['SLURM_CONF']


@pytest.mark.slow
def test_what_is_not_prepared_becomes_a_job_before(tmp_path):
  sources = "Data.sources = {'text': @text/Corpus(), 'code': @text/Corpus()}\nCorpus.reader = @JsonLines()\ntext/Corpus.files = {'train': 'a.jsonl', 'validation': 'a.jsonl'}\n"
  flags = small_run.flags(GIN + sources + f"Corpus.root = '{tmp_path}'\n", tmp_path / 'data', tmp_path)
  words = ('codemix', 'launch', 'slurm', '--dry_run', '--nodes=2', '--time=1:00:00', '--gpus_per_node=8', *flags)
  absent = runs.finish(runs.start(*words))
  assert absent.returncode == 2 and 'a.jsonl' in absent.stderr  # at once, and not when the job starts
  (tmp_path / 'a.jsonl').write_text('{"text": "a document"}\n')
  ended = runs.finish(runs.start(*words))
  assert ended.returncode == 0, ended.stderr
  words = shlex.join(['sbatch', '--dependency=afterok:JOB(prepare)', '--kill-on-invalid-dep=yes', str(tmp_path / 'out' / 'launch' / 'train.sbatch')])
  before, after = ended.stdout.split(f'# {words}\n')
  assert ' -m codemix prepare ' in before and '--gpus-per-node' not in before and ' -m codemix study ' in after
  assert not (tmp_path / 'out').exists()
