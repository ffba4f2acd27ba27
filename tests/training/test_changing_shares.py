"""Mixtures that change inside a stage, shares given by documents, sources that are only scored: as trained."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import codemix
from codemix.data.mixtures.forms import by_documents
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.storage import read_json
from codemix.studies.planning import plan_study, scored_names
from tests import tiny_study
from tests.in_process import record_batches, use_one_device

STEPS = 20
ROWS = STEPS * tiny_study.BATCH
STEPPED = MixtureSchedule(
  ((0.0, {'text': 1.0}), (0.25, {'text': 0.5, 'code': 0.5}), (0.75, {'code': 1.0})), 'step'
)
SLOPED = MixtureSchedule(((0.0, {'text': 0.9, 'code': 0.1}), (1.0, {'text': 0.1, 'code': 0.9})), 'linear')


def share_of_code(name: str, row: float) -> float:
  """The rows of code that should have come by then, by hand."""
  at = row / ROWS
  if name == 'stepped':
    return ROWS * (max(min(at, 0.75) - 0.25, 0) * 0.5 + max(at - 0.75, 0))
  return ROWS * (0.1 * at + 0.8 * at * at / 2)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    root = tmp_path_factory.mktemp('changing')
    data = tiny_study.prepare(root / 'data', bytes_each=20_000)
    stages = [
      tiny_study.stage('stepped', STEPPED, STEPS),
      tiny_study.stage('sloped', SLOPED, STEPS),
    ]
    use_one_device(patch)
    batches = record_batches(patch)
    study = codemix.Study(name='changing', recipes={'only': tiny_study.recipe(*stages)})
    output = codemix.run_study(study, data, tiny_study.runtime(root / 'run'))
    return data, study, output, batches


@pytest.mark.parametrize('stage', range(2))
def test_at_every_row_each_source_is_within_one_row_of_shares_that_change(ran, stage):
  data, study, output, batches = ran
  [plans] = plan_study(study, data).recipes.values()
  names = [draw.source for draw in plans[stage].draws]
  which = np.concatenate([batch['source'] for batch in batches[stage]])
  assert len(which) == ROWS
  code = np.cumsum(which == names.index('code'))
  wanted = [share_of_code(plans[stage].stage.name, row) for row in range(1, ROWS + 1)]
  assert np.abs(code - wanted).max() < 1
  ledger = read_json(next(output.glob(f'stages/{plans[stage].stage.name}-*/ledger.json')))
  told = {entry['source']: entry['rows'] for entry in ledger['realised']}
  assert told == {'text': ROWS - int(code[-1]), 'code': int(code[-1])}


def test_a_stage_with_another_mixture_schedule_is_another_stage(ran):
  data, study, *_ = ran
  hashes = {
    plan_study(tiny_study.study(only=tiny_study.recipe(tiny_study.stage('a', mixture, STEPS))), data)
    .stages()[0]
    .hash
    for mixture in (STEPPED, SLOPED, {'text': 0.5, 'code': 0.5}, MixtureSchedule(((0, {'text': '1/2', 'code': '1/2'}),)))
  }
  assert len(hashes) == 3  # one knot is a mixture that does not change


def test_shares_by_documents_come_to_documents_as_asked(tmp_path):
  data = tiny_study.prepare(tmp_path, bytes_each=30_000)
  mixture = by_documents({'text': 3, 'code': 1})
  recipe = tiny_study.recipe(tiny_study.stage('a', {'all': (1, mixture)}, 100), max_epochs=1000)
  [stage] = plan_study(tiny_study.study(only=recipe), data).stages()
  text, code = stage.draws
  per_document = lambda name: Fraction(
    (store := data.open_store(name, 'train', data.load_tokenizer())).tokens, store.documents
  )
  assert float(text.loss_tokens / per_document('text') / (code.loss_tokens / per_document('code'))) == pytest.approx(3, rel=0.02)


def test_a_source_of_weight_zero_is_scored_and_never_read(tmp_path):
  data = tiny_study.prepare(tmp_path, bytes_each=6_000)
  recipe = tiny_study.recipe(tiny_study.stage('a', {'text': 1.0, 'code': 0.0}, 4))
  study = codemix.Study(name='weightless', recipes={'only': recipe})
  assert scored_names(study) == ['code']
  [stage] = plan_study(study, data).stages()
  assert [draw.source for draw in stage.draws] == ['text']


def test_knots_in_tokens_reach_to_the_end_of_a_budget_that_is_no_whole_number_of_steps(tmp_path):
  data = tiny_study.prepare(tmp_path, bytes_each=6_000)
  tokens = 10 * tiny_study.BATCH * tiny_study.LENGTH + 20
  mixture = MixtureSchedule(((0, {'text': 1.0}), (tokens, {'code': 1.0})), 'linear', unit='tokens')
  stage = tiny_study.stage('a', mixture, 10)
  recipe = tiny_study.recipe(codemix.Stage(**{**vars(stage), 'tokens': tokens}), max_epochs=100)
  [plan] = plan_study(tiny_study.study(only=recipe), data).stages()
  assert plan.steps == 10
  assert [draw.rows for draw in plan.draws] == [40, 40]
