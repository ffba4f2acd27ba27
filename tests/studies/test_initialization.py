"""The initialization study, three seeds of each arm: trained together as alone, on a cluster as here, and killed as if it was not.

The four arms of the file share no stage, so an arm with another cooldown is added, which shares two."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.storage import read_json
from tests import tiny_study
from tests.faults.runs import assert_same, finish, result_of, start
from tests.launch import cluster

SHORT = Path(__file__).parents[1] / 'docs_workspace' / 'short.gin'
ARMS = {'text_only': 'text_only_one_stage', 'balanced_only': 'balanced_only_one_stage', 'balanced_to_text': 'balanced_to_text', 'code_to_text': 'code_to_text'}
ARMS |= {'codefree_cooldown': 'balanced_to_text_codefree'}

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def flags(tmp_path_factory) -> list[str]:
  """The study as it ships, with a tiny model, stages of some steps, and made-up text and code."""
  data = tiny_study.prepare(tmp_path_factory.mktemp('data'))
  bindings = {
    'Study.seeds': (0, 1, 2), 'TEXT': {'text': 1.0}, 'CODE': {'code': 1.0}, 'Data.sources': (), 'Data.directory': data.directory, 'Data.tokenizer': 'bytes',
    'Data.task_modules': (), 'Study.validation': ('text', 'code'), 'Runtime.save_every': 2,
  }  # fmt: skip
  flags = [f'--gin.{name}={value!r}' for name, value in bindings.items()]
  return ['study', '--gin_file=studies/initialization.gin', f'--gin_file={SHORT}', *flags, recipes_flag(ARMS)]


def recipes_flag(arms: dict[str, str]) -> str:
  return f'--gin.Study.recipes={{{", ".join(f"{arm!r}: @{recipe}/Recipe()" for arm, recipe in arms.items())}}}'


def run(flags: list[str], output: Path, module: str = 'codemix') -> subprocess.Popen:
  return start(module, *flags, f'--gin.Runtime.output={str(output)!r}')


@pytest.fixture(scope='module')
def together(flags, tmp_path_factory) -> tuple[dict[str, object], float]:
  """(what all fifteen recipes end in, seconds that they take)."""
  output, began = tmp_path_factory.mktemp('together'), time.monotonic()
  ended = finish(run(flags, output), timeout_s=900)
  assert ended.returncode == 0, ended.stderr
  seconds = time.monotonic() - began
  require_sharing(output)
  return result_of(output), seconds


def require_sharing(output: Path) -> None:
  """That two arms begin with the same two stages of each seed, each trained once."""
  record = read_json(output / 'study.json')
  stages = {name: recipe['stages'] for name, recipe in record['recipes'].items()}
  for seed in (0, 1, 2):
    one, other = (stages[f'{arm}, seed {seed}'] for arm in ('balanced_to_text', 'codefree_cooldown'))
    assert one[:2] == other[:2] and one[2] != other[2]
  assert len(list((output / 'stages').iterdir())) == sum(map(len, stages.values())) - 3 * 2
  assert record['savings']['stages_alone'] - record['savings']['stages_trained'] == 3 * 2


def test_arms_end_bitwise_as_if_each_was_trained_alone(flags, together, tmp_path):
  shared, _ = together
  alone = {}
  for arm, recipe in ARMS.items():
    ended = finish(run([*flags[:-1], recipes_flag({arm: recipe}), '--gin.Study.baseline=None'], tmp_path / arm), timeout_s=900)
    assert ended.returncode == 0, ended.stderr
    found = result_of(tmp_path / arm)
    assert_same({key: found[key] for key in found.keys() & shared.keys()}, {key: shared[key] for key in found})
    alone |= found
  assert alone.keys() == shared.keys()


def test_an_arm_that_fails_leaves_a_gap_and_the_same_command_fills_it(flags, together, tmp_path):
  expected, _ = together
  broken = tmp_path / 'broken'
  failed = finish(run(flags, broken, 'tests.studies.failing_code'), timeout_s=900)
  assert failed.returncode == 3 and 'is not finite' in failed.stderr
  done = {path.parent.name for path in broken.glob('stages/*/done.json')}
  of_arm = lambda name: name.startswith('code_to_text')
  stages = {name: recipe['stages'] for name, recipe in read_json(broken / 'study.json')['recipes'].items()}
  assert done == {folder for name, folders in stages.items() if not of_arm(name) for folder in folders}
  sound = shutil.copytree(broken, tmp_path / 'sound', ignore=lambda at, names: {name for name in names if Path(at).name == 'stages' and name not in done})
  assert_same(result_of(sound), {key: value for key, value in expected.items() if key.split('/')[0].split('[')[0].split('.')[0] in done})
  content = gather(read_study(broken))
  assert len([line for line in content.missing if ' failed after 1 of ' in line and 'code_to_text' in line]) == 3
  assert {arm.name for arm in content.arms if not content.latest(arm)} == {'code_to_text'}
  assert 'This study is not complete' in (broken / 'report.md').read_text()
  mended = finish(run(flags, broken), timeout_s=900)
  assert mended.returncode == 0, mended.stderr
  assert_same(result_of(broken), expected)
  assert not gather(read_study(broken)).missing


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
