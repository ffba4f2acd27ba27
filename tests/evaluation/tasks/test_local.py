"""The benchmarks that need no file: nothing of them is trained on, and all run without a download."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from codemix.data import settings as data_settings
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.local_corpora import Extent, build_local_corpora
from codemix.errors import UserError
from codemix.evaluation.tasks import coding, local
from codemix.evaluation.tasks.local_items import without_repeats
from codemix.evaluation.tasks.multiple_choice import pairs_of
from codemix.evaluation.tasks.registry import GROUPS, TASKS, select
from codemix.evaluation.tasks.task import Settings
from codemix.studies.show_tasks import show_list
from tests.evaluation.tasks.stub_model import StubModel

SMALL = {
  'distributions': (),
  'modules': ('argparse', 'email', 'json', 'logging', 'pydoc_data', 'unittest'),
  'code': Extent(100_000, 400_000, 40_000, 20),
  'text': Extent(50_000, 400_000, 40_000, 20),
}
OF = {task.name: task for task in local.TASKS}
CHOICES = ('local_passages', 'local_bodies')
SPLIT = {'local_passages': 'local_text', 'local_bodies': 'local_code'}


@pytest.fixture(scope='module')
def corpora(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('CODEMIX_DATA_DIR', str(folder))
    yield build_local_corpora(data_settings.corpora_directory(), **SMALL).corpora


def words(text: str) -> str:
  return ' '.join(text.split())


def texts(corpora, corpus: str, split: str) -> list[str]:
  return [words(json.loads(line)['text']) for line in corpora[corpus][split].path.read_text().splitlines()]


@pytest.mark.parametrize('name', CHOICES)
def test_no_choice_is_in_the_training_split_and_each_is_held_out(name, corpora):
  items = OF[name].read(EvaluationFolder()).items
  train, held_out = (texts(corpora, SPLIT[name], split) for split in ('train', 'validation'))
  assert 8 <= len(items) <= OF[name].source.most and train
  for item in items:
    for choice in map(words, item.choices):
      assert not any(choice in text for text in train)
      assert any(choice in text for text in held_out)


def test_what_the_training_split_has_too_is_left_out():
  pairs = [('a@0', 'p', ' one two'), ('b@0', 'p', ' three\n  four'), ('c@0', 'p', ' five')]
  assert without_repeats(pairs, ['zero one', 'two three four', 'six']) == [pairs[0], pairs[2]]


@pytest.mark.parametrize('name', CHOICES)
def test_right_choices_score_100_percent_and_equal_ones_chance(name, corpora):
  evaluator = OF[name].evaluator(Settings())
  gold = {pairs_of(item)[item.gold[0]] for item in evaluator.items}
  right = evaluator.run(StubModel(lambda *pair: (0.1 if pair in gold else 9.0) * len(pair[1].encode())))
  equal = evaluator.run(StubModel(lambda context, text: float(len(text.encode()))))
  assert right.scores['score'] == right.scores['accuracy_per_byte'] == 1.0
  assert equal.scores['score'] == equal.scores['chance'] == 0.25 <= equal.scores['majority']
  assert evaluator.identity['data'].keys() == {f'{SPLIT[name]}/validation.jsonl'}


def test_programs_are_executed(sandbox):
  evaluator = OF['local_programs'].evaluator(Settings(limit=4))
  answers = {item.id: item.reference for item in evaluator.items}
  right = evaluator.run(StubModel(say=lambda prompt, key, sample: answers[key]))
  wrong = evaluator.run(StubModel(say=lambda prompt, key, sample: ''))
  assert right.scores['score'] == 1.0 and right.scores['items'] == 4 and right.scores['gold_bits_per_byte'] > 0
  assert wrong.scores['score'] == 0.0


def test_without_a_sandbox_programs_are_counted_as_not_run(monkeypatch, capsys):
  def execute(*args, **options):
    raise UserError('bubblewrap is not installed')

  monkeypatch.setattr(coding, 'execute', execute)
  coding._missing_sandbox.cache_clear()
  try:
    evaluator = OF['local_programs'].evaluator(Settings())
    results = evaluator.run(StubModel(say=lambda *_: ' + 2'))
  finally:
    coding._missing_sandbox.cache_clear()
  assert evaluator.identity['not_run'] == 'no sandbox'  # so that it is done again where there is one
  assert 'score' not in results.scores and results.scores['not_run'] == results.scores['items'] == 24
  assert np.isnan(results.items['correct']).all()
  assert 'bubblewrap is not installed' in capsys.readouterr().err


def test_the_group_has_all_of_them_and_the_list_asks_for_no_file():
  assert [task.name for task in select(['local'])] == list(GROUPS['local'].tasks) == list(OF)
  shown = io.StringIO()
  show_list({name: TASKS[name] for name in OF}, EvaluationFolder(), shown)
  assert all(name in shown.getvalue() for name in OF) and ' no' not in shown.getvalue()
