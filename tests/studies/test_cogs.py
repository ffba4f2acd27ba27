"""recipes/cogs.gin fine-tunes a given model on the documents whose answers the benchmark asks for, and scores it on the way."""

from __future__ import annotations

import dataclasses

import pytest

from codemix import config
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.prepare.source import prepare
from codemix.evaluation.results import evaluated_steps, read_results
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.task import Settings
from tests.data.corpus.files import read_good
from tests.evaluation.tasks.stub_model import StubModel
from tests.in_process import use_one_device
from tests.studies.starts import fine_tune

RECIPE = 'recipes/cogs.gin'


@pytest.mark.parametrize(('split', 'task'), [('train', 'cogs'), ('validation', 'cogs_dev')])
def test_a_document_is_what_the_benchmark_asks_with_its_answer(tmp_path, split, task):
  lines = 'A box saw Ada .\tbox ( x _ 1 )\tin_distribution\nBox\tLAMBDA a . box ( a )\tprimitive\n'
  for file in ('train', 'dev', 'gen'):
    (tmp_path / 'cogs').mkdir(exist_ok=True)
    (tmp_path / f'cogs/{file}.tsv').write_text(lines)
  config.parse([RECIPE], [f"COGS_ROOT = '{tmp_path}/cogs'", "START = 'none'"])
  documents = [record.parts() for record in read_good(config.build('Data').corpora['cogs'], split)]
  items = TASKS[task].read(EvaluationFolder(tmp_path)).items
  assert documents == [[(item.prompt, False), (item.reference, True)] for item in items]


@pytest.mark.parametrize(('right', 'expected'), [(1.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_a_model_that_says_every_logical_form_is_right_and_one_that_changes_a_letter_is_wrong(shared_data, right, expected):
  evaluator = TASKS['cogs_dev'].evaluator(Settings(EvaluationFolder(shared_data / 'eval'), limit=40))
  answers = {item.prompt: (item.reference, number < right * 40) for number, item in enumerate(evaluator.items)}
  said = lambda prompt, *_: answers[prompt][0] + ('' if answers[prompt][1] else ' x')
  scores = evaluator.run(StubModel(say=said)).scores
  assert scores['exact_match'] == scores['score'] == expected and scores['items'] == 40


def test_the_real_file_is_prepared_with_its_logical_forms_alone_in_the_loss(tmp_path, shared_data):
  config.parse([RECIPE], [f"COGS_ROOT = '{shared_data}/eval/cogs'", "START = 'none'", "cogs/Corpus.files = {'train': 'dev.tsv'}"])
  data = dataclasses.replace(config.build('Data'), directory=str(tmp_path), tokenizer='bytes', train_on=())
  store = prepare('cogs', 'train', data, data.load_tokenizer(), lambda line: None)
  lines = [line.split('\t') for line in (shared_data / 'eval/cogs/dev.tsv').read_text().splitlines()]
  assert store.documents == len(lines) == 3000
  assert store.loss_tokens == sum(len(f' {meaning}'.encode()) + 1 for _, meaning, _ in lines)
  ids, counts = store.read(0, store.tokens), store.counts_in_loss(0, store.tokens)
  eos = data.load_tokenizer().eos_id
  learnt = bytes((ids[counts & (ids != eos)] - 3).astype('uint8')).decode()
  assert learnt == ''.join(f' {meaning}' for _, meaning, _ in lines)
  assert store.tokens - store.loss_tokens == sum(len(f'Sentence: {sentence}\nMeaning:'.encode()) for sentence, _, _ in lines)


@pytest.mark.slow
def test_a_given_model_is_fine_tuned_and_scored_on_the_way(tmp_path, monkeypatch, shared_data):
  use_one_device(monkeypatch)
  monkeypatch.chdir(tmp_path)
  bindings = {
    'COGS_ROOT': str(shared_data / 'eval/cogs'), 'COGS_TOKENS': 4 * 8 * 128, 'COGS_EVERY': 2, 'cogs/Recipe.length': 128,
    'cogs/Corpus.files': {'train': 'dev.tsv', 'validation': 'test.tsv'},  # an eighth of the sentences of train.tsv
    'Evaluation.tasks': ('cogs_dev',), 'Evaluation.directory': str(shared_data / 'eval'), 'Evaluation.limit': 3,
  }  # fmt: skip
  few = '--gin.Evaluation.decoding=@Decoding()', '--gin.Decoding.max_new_tokens=4'
  [stage] = fine_tune(tmp_path, RECIPE, bindings, *few).glob('stages/cogs-*')
  assert evaluated_steps(stage) == [2]
  for step in (2, None):
    [scores] = [found.scores for name, found in read_results(stage, step).items() if name == 'tasks/cogs_dev']
    assert scores['items'] == 3 and 0 <= scores['exact_match'] <= 1 and scores['gold_bits_per_byte'] > 0
