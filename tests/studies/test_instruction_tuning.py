"""recipes/instruction_tuning.gin fine-tunes a given model on the answers of Dolly, which it is asked for as the benchmark asks."""

from __future__ import annotations

import dataclasses
import json

import pytest

from codemix import config
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.prepare.source import prepare
from codemix.evaluation.tasks.registry import TASKS
from codemix.storage import read_json
from tests.data.corpus.files import read_good
from tests.in_process import use_one_device
from tests.studies.starts import fine_tune

RECIPE = 'recipes/instruction_tuning.gin'
ROWS = (
  {'instruction': 'Say it.', 'context': '', 'response': 'It.'},
  {'instruction': 'What falls?', 'context': 'Rain falls.', 'response': 'Rain.\n\nOnly rain.'},
)


def test_a_document_is_what_the_benchmark_asks_with_its_answer(tmp_path):
  (tmp_path / 'dolly').mkdir()
  (tmp_path / 'dolly/databricks-dolly-15k.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in ROWS))
  config.parse([RECIPE], [f"INSTRUCTIONS_ROOT = '{tmp_path}/dolly'", "START = 'none'", 'dolly_answers/Corpus.validation_share = 0.0'])
  documents = [record.parts() for record in read_good(config.build('Data').corpora['dolly_answers'])]
  items = TASKS['dolly'].read(EvaluationFolder(tmp_path)).items
  assert documents == [[(item.prompt, False), (item.reference, True)] for item in items]


def test_the_real_answers_and_nothing_else_are_in_the_loss(tmp_path, shared_data):
  config.parse([RECIPE], [f"INSTRUCTIONS_ROOT = '{shared_data}/eval/dolly'", "START = 'none'", 'dolly_answers/Corpus.validation_share = 0.0'])
  data = dataclasses.replace(config.build('Data'), directory=str(tmp_path), tokenizer='bytes')
  store = prepare('dolly_answers', 'train', data, data.load_tokenizer(), lambda line: None)
  rows = [json.loads(line) for line in (shared_data / 'eval/dolly/dolly_subset.jsonl').read_text().splitlines()]
  answers = dict.fromkeys((row['instruction'], row['context'], row['response']) for row in rows)  # each once
  assert store.documents == len(answers)
  assert store.loss_tokens == sum(len(f' {response}'.encode()) + 1 for _, _, response in answers)
  assert 0 < store.loss_tokens < store.tokens


@pytest.mark.slow
def test_a_given_model_is_fine_tuned_on_the_real_answers(tmp_path, monkeypatch, shared_data):
  use_one_device(monkeypatch)
  monkeypatch.chdir(tmp_path)
  bindings = {'INSTRUCTIONS_ROOT': str(shared_data / 'eval/dolly'), 'INSTRUCT_TOKENS': 4 * 16 * 128, 'instruction_tuning/Recipe.length': 128}
  [stage] = fine_tune(tmp_path, RECIPE, bindings).glob('stages/instruct-*')
  [planned], [realised] = (read_json(stage / 'ledger.json')[side] for side in ('planned', 'realised'))
  assert planned['tokens'] == realised['tokens'] == 4 * 16 * 128
  assert 0 < planned['loss_tokens'] == realised['loss_tokens'] < planned['tokens']
