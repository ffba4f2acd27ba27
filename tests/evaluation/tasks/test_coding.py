"""Code benchmarks: what is executed decides the score; what cannot be executed is counted, not failed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.evaluator import run_evaluators, unfinished
from codemix.evaluation.model import Scores
from codemix.evaluation.results import read_results
from codemix.evaluation.tasks.coding_problems import Ends
from codemix.evaluation.tasks.coding_tasks import TASKS
from codemix.evaluation.tasks.task import Settings
from codemix.models.decoding import Completion, Decoding

OF = {task.name: task for task in TASKS}
HUMAN_EVAL = {
  'task_id': 'HumanEval/0',
  'prompt': 'def half(x: int) -> int:\n  """ rounds down """\n  return x // 2\n\n\ndef twice(x: int) -> int:\n  """ the inverse of half """\n',
  'entry_point': 'twice',
  'canonical_solution': '  return 2 * x\n',
  'test': 'def check(candidate):\n  for x in range(5):\n    assert half(candidate(x)) == x\n    assert candidate(x) % 2 == 0\n',
}
SHARED = {'humaneval': 164, 'mbpp': 500, 'mbpp_all': 974, 'cruxeval_input': 800, 'cruxeval_output': 800}


class Stub:
  """Gives canned completions by id, the last of them over and over."""

  name, step, checkpoint = 'stub', 1, 'digest'

  def __init__(self, texts, ended_by='eos'):
    self.texts, self.ended_by, self.asked = texts, ended_by, 0

  def score(self, pairs, show=lambda done: None):
    return Scores(np.full(len(pairs), np.log(2) * 8), np.ones(len(pairs), int), np.ones(len(pairs), bool))

  def complete(self, prompts, keys, decoding, show=lambda done: None):
    self.asked += len(prompts)
    return [[Completion(self.texts[key][n % len(self.texts[key])], 1, self.ended_by) for n in range(decoding.samples)] for key in keys]


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'humaneval').mkdir()
  (tmp_path / 'humaneval' / 'HumanEval.jsonl').write_text(json.dumps(HUMAN_EVAL) + '\n')
  return EvaluationFolder(tmp_path)


def test_samples_are_executed_and_scored_by_pass_at_k(folder, sandbox):
  decoding = Decoding(samples=10, temperature=0.8)
  evaluator = OF['humaneval'].evaluator(Settings(folder, decoding=decoding))
  results = evaluator.run(Stub({'HumanEval/0': ['  return 2 * x', '  return x', '  return 2 * x\ndef check(c): pass', '  return (', '  return x']}))
  assert results.items['outcomes'][0] == ['passed', 'failed', 'passed', 'failed', 'failed'] * 2
  assert results.scores['score'] == results.scores['pass_at_1'] == pytest.approx(0.4)
  assert results.scores['pass_at_10'] == 1.0
  # The prompt's line end is scored with the solution.
  assert results.scores['gold_bits_per_byte'] == pytest.approx(8 / len('\n' + HUMAN_EVAL['canonical_solution']))
  assert results.items['completions'][0][2] == '  return 2 * x\ndef check(c): pass'  # kept whole
  assert results.items['correct'] == pytest.approx([0.4])


def test_a_completion_cannot_replace_the_functions_of_the_prompt_for_the_tests(folder, sandbox):
  hostile = '  return 0\nhalf = type("Any", (int,), {"__eq__": lambda *a: True})'
  results = OF['humaneval'].evaluator(Settings(folder)).run(Stub({'HumanEval/0': [hostile]}))
  assert results.scores['score'] == 0.0


def evaluate(evaluator, stub, stage: Path) -> dict | None:
  """The scores as stored in a stage's folder; None if they were there already."""
  work = unfinished([evaluator], read_results(stage), stub)
  run_evaluators(work, stub, stage)
  return read_results(stage)[evaluator.name].scores if work else None


def test_generating_and_executing_are_separable(folder, tmp_path, sandbox):
  stub, task, stage = Stub({'HumanEval/0': ['  return 2 * x']}), OF['humaneval'], tmp_path / 'stage'
  only, both = task.evaluator(Settings(folder, generate_only=True)), task.evaluator(Settings(folder))
  made = evaluate(only, stub, stage)
  assert 'score' not in made and made['generated_only'] == 1
  assert evaluate(both, stub, stage)['score'] == 1.0
  assert stub.asked == 1  # the second run executed what the first had generated
  evaluate(task.evaluator(Settings(folder, seed=1, decoding=Decoding(temperature=1.0))), stub, stage)
  assert stub.asked == 2


def test_what_is_stored_is_not_run_again(folder, tmp_path):
  stub, stage = Stub({'HumanEval/0': ['  return 2 * x']}), tmp_path / 'stage'
  only = OF['humaneval'].evaluator(Settings(folder, generate_only=True))
  assert evaluate(only, stub, stage) is not None
  assert evaluate(only, stub, stage) is None


def test_completions_made_elsewhere_are_scored_the_same_way(folder, tmp_path, sandbox):
  path = tmp_path / 'made.jsonl'
  path.write_text(''.join(json.dumps({'task_id': 'HumanEval/0', 'completion': text}) + '\n' for text in ('  return x', '  return 2 * x')))
  evaluator = OF['humaneval'].evaluator(Settings(folder, completions=str(path)))
  stub = Stub({})
  assert evaluator.run(stub).scores['score'] == 0.5 and stub.asked == 0
  assert 'completions' in evaluator.identity and 'decoding' not in evaluator.identity


def test_a_language_without_tools_is_not_run_and_not_failed(tmp_path):
  (tmp_path / 'multilingual_humaneval').mkdir()
  row = {**HUMAN_EVAL, 'canonical_solution': None, 'language': 'swift'}
  (tmp_path / 'multilingual_humaneval' / 'HumanEval_swift_v1.1.jsonl').write_text(json.dumps(row) + '\n')
  evaluator = OF['humaneval_swift'].evaluator(Settings(EvaluationFolder(tmp_path)))
  results = evaluator.run(Stub({'HumanEval/0': ['}']}))
  assert results.scores == {'items': 1, 'not_run': 1}
  assert evaluator.identity['not_run'] == 'no toolchain for swift'
  assert np.isnan(results.items['correct']).all()


@pytest.mark.parametrize(
  ('text', 'ended_by', 'cut'),
  [
    ('  a\n}\nmore', 'eos', '  a\n}\n'),
    ('  a', 'stop', '  a\n}\n'),
    ('  a', '', '  a\n}\n'),
    ('  a }', 'eos', '  a }'),
    ('  a', 'length', '  a'),
  ],
)
def test_a_function_that_a_stop_ended_is_closed(text, ended_by, cut):
  assert Ends(('\n}',), '\n}\n').cut(text, ended_by) == cut


@pytest.mark.parametrize('change', [{'prompt': 3}, {'test': None}, {'test': 'def ('}, {'canonical_solution': '  ('}])
def test_a_row_of_another_form_is_named(folder, change):
  (folder.path / 'humaneval' / 'HumanEval.jsonl').write_text(json.dumps(HUMAN_EVAL) + '\n' + json.dumps({**HUMAN_EVAL, 'task_id': 'x', **change}) + '\n')
  with pytest.raises(UserError, match='HumanEval.jsonl:2 is not of the form'):
    OF['humaneval'].read(folder)


def test_examples_are_refused_where_upstream_has_none(folder):
  with pytest.raises(UserError, match='no examples'):
    OF['humaneval'].evaluator(Settings(folder, shots=2))


def references(name: str, shared_data: Path, limit: int | None, **settings):
  evaluator = OF[name].evaluator(Settings(EvaluationFolder(shared_data / 'eval'), limit=limit, **settings))
  return evaluator, {item.id: [item.reference] for item in evaluator.items}


@pytest.mark.parametrize('name', SHARED)
def test_real_files_have_as_many_items_as_published_and_no_stop_cuts_a_solution(name, shared_data):
  evaluator, texts = references(name, shared_data, None)
  assert len(texts) == SHARED[name]
  assert all(evaluator.task.ends.cut(text, 'eos') == text for (text,) in texts.values())


@pytest.mark.parametrize('name', SHARED)
def test_some_real_solutions_pass_and_empty_ones_do_not(name, shared_data, sandbox):
  evaluator, texts = references(name, shared_data, 12)
  assert evaluator.run(Stub(texts)).scores['score'] == 1.0
  assert evaluator.run(Stub(dict.fromkeys(texts, ['']))).scores['score'] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize('name', SHARED)
def test_all_real_solutions_pass_and_empty_ones_do_not(name, shared_data, sandbox):
  evaluator, texts = references(name, shared_data, None)
  assert evaluator.run(Stub(texts)).scores['score'] == 1.0
  assert evaluator.run(Stub(dict.fromkeys(texts, ['']))).scores['score'] == 0.0


def test_examples_of_mbpp_are_of_its_prompt_split_and_depend_on_the_seed(shared_data):
  prompts = {
    seed: [item.prompt for item in references('mbpp', shared_data, 20, shots=3, seed=seed)[0].items] for seed in (0, 1)
  }
  assert prompts[0] != prompts[1]
  shown = {item.prompt for item in OF['mbpp_all'].read(EvaluationFolder(shared_data / 'eval')).items if 1 <= int(item.id) <= 10}
  for prompt in prompts[0]:
    assert sum(prompt.count(each) for each in shown) == 3


def test_the_sanitized_form_of_mbpp_is_read_and_its_test_split_kept(tmp_path, sandbox):
  (tmp_path / 'mbpp').mkdir()
  row = {
    'source_file': 'x', 'task_id': 11, 'prompt': 'Write a function to round up.', 'code': 'import math\r\ndef up(x):\r\n  return math.ceil(x)',
    'test_imports': ['import math'], 'test_list': ['assert up(1.5) == 2', 'assert up(math.pi) == 4'],
  }  # fmt: skip
  (tmp_path / 'mbpp' / 'sanitized-mbpp.json').write_text(json.dumps([{**row, 'task_id': 10}, row]))
  evaluator = OF['mbpp_sanitized'].evaluator(Settings(EvaluationFolder(tmp_path)))
  assert [item.id for item in evaluator.items] == ['11']
  assert evaluator.run(Stub({'11': [evaluator.items[0].reference]})).scores['score'] == 1.0
  assert evaluator.run(Stub({'11': ['up = 3']})).scores['score'] == 0.0


@pytest.mark.parametrize(
  ('name', 'row', 'hostile', 'right'),
  [
    ('cruxeval_output', {'input': '1', 'output': '[3]'}, "([0 for type in []], type)[1]('X', (), {'__eq__': lambda a, b: True})()", '[3]'),
    ('cruxeval_input', {'input': "'abc'", 'output': '3'}, "([0 for globals in []], globals)[1]().update({'len': lambda x: 3}))", "'xyz')"),
  ],
)
def test_a_prediction_has_no_builtins_by_the_name_of_a_variable_of_its_own(name, row, hostile, right, tmp_path, sandbox):
  (tmp_path / 'cruxeval').mkdir()
  (tmp_path / 'cruxeval' / 'cruxeval.jsonl').write_text(json.dumps({'id': 'a', 'code': 'def f(x):\n  return len(x)', **row}))
  evaluator = OF[name].evaluator(Settings(EvaluationFolder(tmp_path)))
  assert evaluator.run(Stub({'a': [hostile]})).scores['score'] == 0.0
  assert evaluator.run(Stub({'a': [right]})).scores['score'] == 1.0
