"""The initialization study, three seeds of each arm: trained together as alone, on a cluster as here, and killed as if it was not."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import tiny_study
from tests.faults.runs import assert_same, finish, result_of, start
from tests.launch import cluster

SHORT = Path(__file__).parents[1] / 'docs_workspace' / 'short.gin'
ARMS = {'text_only': 'text_only_one_stage', 'balanced_only': 'balanced_only_one_stage', 'balanced_to_text': 'balanced_to_text', 'code_to_text': 'code_to_text'}

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def flags(tmp_path_factory) -> list[str]:
  """The study as it ships, with a tiny model, stages of some steps, and made-up text and code."""
  data = tiny_study.prepare(tmp_path_factory.mktemp('data'))
  bindings = {
    'Study.seeds': (0, 1, 2), 'TEXT': {'text': 1.0}, 'CODE': {'code': 1.0}, 'Data.sources': (), 'Data.directory': data.directory, 'Data.tokenizer': 'bytes',
    'Data.task_modules': (), 'Study.validation': ('text', 'code'), 'Runtime.save_every': 2,
  }  # fmt: skip
  return ['study', '--gin_file=studies/initialization.gin', f'--gin_file={SHORT}', *(f'--gin.{name}={value!r}' for name, value in bindings.items())]


def run(flags: list[str], output: Path) -> subprocess.Popen:
  return start('codemix', *flags, f'--gin.Runtime.output={str(output)!r}')


@pytest.fixture(scope='module')
def together(flags, tmp_path_factory) -> tuple[dict[str, object], float]:
  """(what all twelve recipes end in, seconds that they take)."""
  output, began = tmp_path_factory.mktemp('together'), time.monotonic()
  ended = finish(run(flags, output), timeout_s=900)
  assert ended.returncode == 0, ended.stderr
  return result_of(output), time.monotonic() - began


def test_arms_end_bitwise_as_if_each_was_trained_alone(flags, together, tmp_path):
  shared, _ = together
  alone = {}
  for arm, recipe in ARMS.items():
    ended = finish(run([*flags, f"--gin.Study.recipes={{'{arm}': @{recipe}/Recipe()}}", '--gin.Study.baseline=None'], tmp_path / arm), timeout_s=900)
    assert ended.returncode == 0, ended.stderr
    found = result_of(tmp_path / arm)
    assert_same({key: found[key] for key in found.keys() & shared.keys()}, {key: shared[key] for key in found})
    alone |= found
  assert alone.keys() == shared.keys()


@pytest.mark.skipif(not cluster.is_possible(), reason='SLURM (slurm-wlm, munge) is not installed, or this user may not start its daemons')
def test_as_jobs_of_a_cluster_that_loses_a_node_it_ends_bitwise_as_here(flags, together, tmp_path, monkeypatch):
  expected, _ = together
  with cluster.running() as slurm:
    monkeypatch.setenv('SLURM_CONF', slurm.environment['SLURM_CONF'])
    launched = finish(start('codemix', 'launch', 'slurm', '--by_unit', '--nodes=1', '--time=60:00', '--cpu_devices=1', *flags[1:], f'--gin.Runtime.output={str(tmp_path)!r}'))
    assert launched.returncode == 0, launched.stderr
    jobs = re.findall(r': job ([\d_]+),', launched.stdout)
    at_work = []  # [number, node] of the jobs that run, when some are done
    now = lambda: [line.split() for line in slurm('squeue', '-h', '-t', 'RUNNING', '-o', '%i %N').splitlines()]
    slurm.wait(lambda: slurm.state(jobs[4]) == 'COMPLETED' and at_work.extend(now()) is None and at_work, 'jobs in the middle of the study', 300)
    running, node = at_work[0]
    slurm('scontrol', 'update', f'NodeName={node}', 'State=DRAIN', 'Reason=test')
    slurm('scontrol', 'requeue', running)
    time.sleep(10)  # on the other node alone
    slurm('scontrol', 'update', f'NodeName={node}', 'State=RESUME')
    slurm.wait(lambda: not slurm.jobs(), 'end of all jobs', 1500)
    assert {slurm.state(job) for job in jobs} == {'COMPLETED'}
  assert_same(result_of(tmp_path), expected)
  assert (tmp_path / 'report.html').is_file()


def test_killed_at_random_five_times_it_ends_as_if_it_was_not(flags, together, tmp_path):
  expected, seconds = together
  rng, kills = random.Random(13), 0
  for _ in range(5):
    process = run(flags, tmp_path)
    time.sleep(rng.uniform(0.15, 0.4) * seconds)  # five of them are longer than the run: what was done is not done again
    process.kill()
    kills += finish(process).returncode == -signal.SIGKILL
  assert kills >= 3
  ended = finish(run(flags, tmp_path), timeout_s=900)
  assert ended.returncode == 0, ended.stderr
  assert_same(result_of(tmp_path), expected)
