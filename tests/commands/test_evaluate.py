"""`codemix evaluate` of a stage's folder: what is scored, where it is kept, and which flags do not go together."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.evaluation.results import evaluated_steps, read_results
from tests import tiny_study
from tests.faults import runs
from tests.in_process import use_one_device

STEPS = 4
GIN = """
Evaluation.tasks = (@stones/choice_task(),)
stones/choice_task.name = 'stones'
stones/choice_task.files = 'stones.jsonl'
stones/choice_task.prompt = '{line}'
stones/choice_task.choices = ('rain', 'stone')
stones/choice_task.gold = '{gold}'
"""


@pytest.fixture(scope='module')
def stage(tmp_path_factory) -> Path:
  root = tmp_path_factory.mktemp('evaluate')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  study = tiny_study.study(only=tiny_study.recipe(tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, STEPS)))
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(study, data, tiny_study.runtime(root / 'output', save_every=2, keep=None))
  [folder] = root.glob('output/stages/*')
  return folder


@pytest.fixture
def own(tmp_path) -> list[str]:
  """The flags of a benchmark of two items."""
  (tmp_path / 'own.gin').write_text(GIN)
  rows = [{'line': 'a long story of', 'gold': 'rain'}, {'line': 'the model reads', 'gold': 'stone'}]
  (tmp_path / 'stones.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  return [f'--gin_file={tmp_path}/own.gin', f'--eval_dir={tmp_path}']


def evaluate(capsys, *words: object) -> dict:
  assert cli.main(['evaluate', *map(str, words), '--format=json']) == 0
  return json.loads(capsys.readouterr().out)


def refused(capsys, *words: object) -> str:
  assert cli.main(['evaluate', *map(str, words)]) == 2
  return capsys.readouterr().err


def test_a_benchmark_of_gin_is_scored_on_a_folder_and_kept_there(stage, own, capsys):
  found = evaluate(capsys, stage, *own)['scores']['tasks/stones']
  assert found == read_results(stage)['tasks/stones'].scores
  assert (found['items'], found['chance']) == (2, 0.5)
  kept = stage / 'evaluation' / 'tasks' / 'stones.json'
  before = kept.stat().st_mtime_ns
  assert evaluate(capsys, stage, *own)['scores']['tasks/stones'] == found
  assert evaluate(capsys, stage, *own, '--tasks=stones')['scores']['tasks/stones'] == found
  assert kept.stat().st_mtime_ns == before
  assert evaluate(capsys, stage, *own, '--limit=1')['scores']['tasks/stones']['items'] == 1
  assert kept.stat().st_mtime_ns != before


def test_a_step_before_the_end_has_results_of_its_own_and_that_of_the_end_has_not(stage, own, capsys):
  early = evaluate(capsys, stage, *own, '--step=2')
  assert (early['step'], evaluated_steps(stage)) == (2, [2])
  end = evaluate(capsys, stage, *own, f'--step={STEPS}')
  assert end == evaluate(capsys, stage, *own)
  assert evaluated_steps(stage) == [2]
  assert end['scores']['tasks/stones']['gold_bits_per_byte'] != early['scores']['tasks/stones']['gold_bits_per_byte']
  assert 'no whole checkpoint of step 3; it has 2, 4' in refused(capsys, stage, *own, '--step=3')


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    (['FOLDER', '--tasks=piqa', '--stage=balanced'], '--stage is for the stages of a study'),
    (['--gin_file=a.gin', '--shots=4'], '--shots needs a stage folder'),
    (['--gin_file=a.gin', '--watch'], '--watch needs a stage folder'),
    (['FOLDER', '--tasks=piqa', '--watch', '--step=2'], '--step is for one checkpoint'),
    (['FOLDER', '--tasks=piqa', '--watch_timeout=3'], '--watch_timeout needs --watch'),
    (['FOLDER', '--tasks=piqa', '--watch_every=3'], '--watch_every needs --watch'),
    (['FOLDER', '--tasks=piqa', '--batch=0'], '--batch is 0'),
    (['FOLDER', '--tasks=piqa', '--temperature=0.5'], '--temperature has no effect: no task of piqa generates'),
    (['FOLDER', '--tasks=piqa', '--generate_only'], '--generate_only has no effect'),
    (['FOLDER', '--tasks=gsm8k', '--samples=3'], 'greedy samples are equal'),
    (['FOLDER', '--tasks=dolly', '--judge_budget=0'], '--judge_budget needs --against'),
    (['--tasks=piqa', '--show_prompts=0'], '--show_prompts is 0'),
    ([], 'name a STAGE_FOLDER and its --tasks, or a study'),
    (['FOLDER', '--tasks=piqa', '--completions=a.jsonl', '--generate_only'], '--generate_only has no effect on the completions'),
    (['FOLDER', '--tasks=piqa', '--shots=-1'], 'Evaluation.shots is -1'),
    (['FOLDER', '--tasks=piqua'], "Did you mean 'piqa'?"),
    (['FOLDER', '--tasks=,'], 'Evaluation.tasks'),
    (['FOLDER'], 'name benchmarks with --tasks=NAMES'),
    (['FOLDER', '--gin.Recipe.seed=1'], 'bind Evaluation.tasks'),
    (['FOLDER', '--tasks=piqa', '--gin.Recipe.seed=1'], "this run builds no 'Recipe'"),
    (['FOLDER', '--tasks=piqa', '--watch', '--watch_every=0'], '--watch_every is 0.0'),
    (['FOLDER', '--tasks=piqa', '--watch', '--watch_timeout=nan'], '--watch_timeout is nan'),
  ],
)
def test_flags_that_are_wrong_or_without_effect_are_refused(flags, said, stage, capsys):
  assert said in refused(capsys, *(stage if flag == 'FOLDER' else flag for flag in flags))


def test_two_processes_score_as_one_does_and_one_writes(stage, tmp_path, sandbox):
  """Choices, free answers and programs; the second process executes nothing, and writes nothing."""
  write_sets(tmp_path)
  flags = ['evaluate', str(stage), '--tasks=copa,nq_open,humaneval', f'--eval_dir={tmp_path}', '--max_new_tokens=4', '--format=json']
  alone = runs.finish(runs.start('codemix', *flags))
  assert alone.returncode == 0, alone.stderr
  expected = json.loads(alone.stdout)['scores']
  assert set(expected) == {'tasks/copa', 'tasks/nq_open', 'tasks/humaneval'} and expected['tasks/humaneval']['score'] == 0
  shutil.rmtree(stage / 'evaluation' / 'tasks')
  with socket.create_server(('', 0)) as probe:
    port = probe.getsockname()[1]
  each = [('--num_processes=2', f'--coordinator_address=localhost:{port}', f'--process_id={index}') for index in range(2)]
  first, second = map(runs.finish, [runs.start('codemix', *flags, *more) for more in each])
  assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
  assert second.stdout == ''
  found = json.loads(first.stdout)['scores']
  for task, scores in expected.items():
    assert found[task] == pytest.approx(scores, rel=1e-5)
    assert read_results(stage)[task].scores == found[task]


def write_sets(folder: Path) -> None:
  """Sets of two items in their released forms."""
  copa = [{'premise': f'Box {n} fell.', 'choice1': 'It was loose.', 'choice2': 'It was tied.', 'question': 'cause', 'label': n, 'idx': n} for n in range(2)]
  asked = [{'question': f'who is {n}', 'answer': [f'No {n}']} for n in range(2)]
  problem = {
    'task_id': 'HumanEval/0', 'prompt': 'def twice(x):\n  """Doubles."""\n', 'entry_point': 'twice',
    'canonical_solution': '  return 2 * x\n', 'test': 'def check(candidate):\n  assert candidate(2) == 4\n',
  }  # fmt: skip
  for file, rows in (('copa/val.jsonl', copa), ('nq_open/NQ-open.dev.jsonl', asked), ('humaneval/HumanEval.jsonl', [problem])):
    (folder / file).parent.mkdir()
    (folder / file).write_text('\n'.join(map(json.dumps, rows)) + '\n')
