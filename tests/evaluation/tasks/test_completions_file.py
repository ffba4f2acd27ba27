"""Files of completions made elsewhere: what fits is read, what does not is named."""

from __future__ import annotations

import json
import types

import pytest

from codemix.errors import UserError
from codemix.evaluation.tasks.completions_file import read_completions, write_prompts
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.evaluation.tasks.item import Item
from codemix.models.decoding import Decoding
from tests.evaluation.tasks.stub_model import StubModel

IDS = ['HumanEval/0', 'HumanEval/1']


def of(tmp_path, *rows):
  path = tmp_path / 'made.jsonl'
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return str(path)


def line(id, completion, **more):
  return {'task': 'humaneval', 'id': id, 'completion': completion, **more}


def test_samples_come_in_the_order_of_the_file_whatever_the_order_of_items(tmp_path):
  path = of(tmp_path, line(IDS[1], 'a'), line(IDS[0], 'b'), {'task': 'mbpp', 'id': '11', 'completion': 'x'}, line(IDS[1], 'c'), line(IDS[0], ''))
  assert read_completions(path, 'humaneval', IDS, IDS) == [['b', ''], ['a', 'c']]


def test_upstreams_own_form_is_read_and_items_that_are_not_wanted_are_left(tmp_path):
  path = of(tmp_path, *({'task_id': id, 'completion': id} for id in IDS))
  assert read_completions(path, 'humaneval', IDS, IDS[:1]) == [[IDS[0]]]


@pytest.mark.parametrize(
  ('rows', 'said'),
  [
    ([line('HumanEval/00', '')], "made.jsonl:1: task 'humaneval' has no item 'HumanEval/00'. Did you mean 'HumanEval/0'?"),
    ([line(IDS[0], '')], "lacks the completions of 1 item of task 'humaneval', such as 'HumanEval/1'"),
    ([line(IDS[0], ''), line(IDS[0], ''), line(IDS[1], '')], 'has 1 completion, .* has 2'),
    ([line(IDS[0], '', prompt='')], "made.jsonl:1 has the field 'prompt'"),
    ([line(IDS[0], 3)], "'completion' is int, not text"),
    ([{'task': 'humaneval', 'id': IDS[0]}], "lacks 'completion'"),
    ([{'task': 'humanevl', 'id': IDS[0], 'completion': ''}], "it has those of 'humanevl'. 'task' must be 'humaneval'."),
    ([], 'it is empty'),
  ],
)
def test_what_does_not_fit_is_named(tmp_path, rows, said):
  with pytest.raises(UserError, match=said.replace('?', r'\?')):
    read_completions(of(tmp_path, *rows), 'humaneval', IDS, IDS)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match='does not exist'):
    read_completions(str(tmp_path / 'none.jsonl'), 'humaneval', IDS, IDS)


def test_prompts_are_written_to_the_byte_with_what_an_engine_needs(tmp_path):
  item = Item('a/1', 'def f():\n  """ é """\n')
  evaluator = types.SimpleNamespace(task=types.SimpleNamespace(name='t'), items=[item], decoding=Decoding(stop=('\ndef',), samples=2))
  assert write_prompts([evaluator], tmp_path / 'prompts.jsonl') == 1
  row = json.loads((tmp_path / 'prompts.jsonl').read_text())
  assert (row['task'], row['id'], row['prompt'], row['stop'], row['n']) == ('t', 'a/1', item.prompt, ['\ndef'], 2)


def test_free_answers_are_scored_from_a_file_and_tasks_that_generate_nothing_refuse_one(tmp_path):
  (tmp_path / 'gsm8k').mkdir()
  rows = [{'question': f'What is 1 + {n}?', 'answer': f'It is.\n#### {1 + n}'} for n in range(2)]
  (tmp_path / 'gsm8k' / 'test.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  path = tmp_path / 'made.jsonl'
  path.write_text('\n'.join(json.dumps({'task': 'gsm8k', 'id': id, 'completion': text}) for id, text in (('0', ' 1\n\n7'), ('1', ' 7'))))
  (evaluator,) = Evaluation(tasks=('gsm8k',), directory=str(tmp_path), completions=str(path)).evaluators()
  model = StubModel()
  results = evaluator.run(model)
  assert results.scores['last_number'] == 0.5 and not model.prompted
  assert 'completions' in evaluator.identity and 'decoding' not in evaluator.identity
  with pytest.raises(UserError, match="'piqa' is not scored by completions"):
    Evaluation(tasks=('piqa',), completions=str(path))
