"""Benchmarks of a user's own: a few lines of gin or Python, and what is wrong with a row is named."""

from __future__ import annotations

import json

import pytest

from codemix import config
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.tasks.own import answer_task, choice_task, text_task
from codemix.evaluation.tasks.registry import select
from codemix.evaluation.tasks.task import Settings
from tests.evaluation.tasks.stub_model import StubModel

ROWS = [
  {'country': 'France', 'options': ['Paris', 'Rome'], 'answer': 'Paris', 'meta': {'area': 'west'}},
  {'country': 'Italy', 'options': ['Paris', 'Rome'], 'answer': 'B', 'meta': {'area': 'south'}},
  {'country': 'Spain', 'options': ['Lisbon', 'Madrid'], 'answer': 1, 'meta': {'area': 'south'}},
]
GIN = """
capitals/choice_task.name = 'capitals'
capitals/choice_task.files = 'capitals.jsonl'
capitals/choice_task.prompt = 'The capital of {country} is'
capitals/choice_task.choices = 'options'
capitals/choice_task.gold = '{answer}'
Evaluation.tasks = ('piqa', @capitals/choice_task())
"""


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'capitals.jsonl').write_text('\n'.join(map(json.dumps, ROWS)))
  return tmp_path


def test_gin_describes_a_task_in_a_few_lines(folder, tmp_path):
  path = tmp_path / 'own.gin'
  path.write_text(GIN)
  config.parse([str(path)], [f"Evaluation.directory = '{folder}'"])
  evaluation = config.build('Evaluation')
  piqa, capitals = evaluation.selected()
  assert (piqa.name, capitals.name) == ('piqa', 'capitals')
  items = capitals.evaluator(evaluation.settings()).items
  assert [(item.prompt, item.choices, item.gold) for item in items] == [
    ('The capital of France is', (' Paris', ' Rome'), (0,)),
    ('The capital of Italy is', (' Paris', ' Rome'), (1,)),
    ('The capital of Spain is', (' Lisbon', ' Madrid'), (1,)),
  ]


def test_choices_may_be_templates_and_examples_come_from_a_file(folder):
  task = choice_task('areas', 'capitals.jsonl', 'Where is {country}?', ('west', 'south'), '{meta.area}', examples='capitals.jsonl', id='country')
  items = task.evaluator(Settings(EvaluationFolder(folder), shots=1)).items
  assert [item.id for item in items] == ['France', 'Italy', 'Spain']
  assert items[0].prompt.startswith('Where is ') and items[0].prompt.endswith('\n\nWhere is France?')


def test_free_answers_and_text_are_tasks_too(folder):
  task = answer_task('answers', 'capitals.jsonl', '{country}:', 'options')
  model = StubModel(say=lambda *_: ' rome')
  assert task.evaluator(Settings(EvaluationFolder(folder))).run(model).scores['score'] == pytest.approx(2 / 3)
  (folder / 'own.txt').write_text('Some text.\nMore.')
  [item] = text_task('own', 'own.txt').read(EvaluationFolder(folder)).items
  assert item.reference == 'Some text.\nMore.'


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'prompt': 'The capital of {contry} is'}, r"capitals\.jsonl:1 lacks the field 'contry'"),
    ({'gold': '{country}'}, 'neither the text, nor the number, nor the letter'),
    ({'choices': 'optoins'}, "lacks the field 'optoins'"),
    ({'files': 'capitols.jsonl'}, r'lacks capitols\.jsonl'),
    ({'prompt': 'country'}, 'names no field'),
    ({'prompt': '{country'}, 'no field of its prompt .* is closed'),
    ({'files': '/nowhere/capitals.jsonl'}, 'x\': /nowhere/capitals.jsonl does not exist'),
  ],
)
def test_what_is_wrong_is_named(changes, message, folder):
  settings = {'name': 'x', 'files': 'capitals.jsonl', 'prompt': '{country}', 'choices': 'options', 'gold': '{answer}', **changes}
  with pytest.raises(UserError, match=message):
    choice_task(**settings).evaluator(Settings(EvaluationFolder(folder)))


@pytest.mark.parametrize(('name', 'message'), [('piqa', "own is named 'piqa'"), ('code', "own is named 'code'"), ('../x', 'a name has letters'), ('a/b', 'a name has letters')])
def test_a_name_of_one_that_ships_or_that_names_no_file_is_refused(name, message, tmp_path):
  path = tmp_path / 'own.gin'
  path.write_text(GIN.replace("'capitals'\n", f"'{name}'\n").replace("('piqa', ", '(').replace('task())', 'task(),)'))
  config.parse([str(path)], [])
  with pytest.raises(UserError, match=message):
    config.build('Evaluation')


def test_two_tasks_with_one_name_are_refused():
  task = lambda prompt: choice_task('mine', 'capitals.jsonl', prompt, 'options', '{answer}')
  with pytest.raises(UserError, match="two tasks are named 'mine'"):
    select([task('{country}'), task('{country}?')])
