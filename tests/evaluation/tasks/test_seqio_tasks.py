"""Benchmarks and SeqIO tasks are the same thing seen from two sides."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.seqio_tasks import SeqioTask, register_benchmark
from codemix.evaluation.tasks.task import Settings
from tests.evaluation.tasks.fixtures import FORMS
from tests.evaluation.tasks.stub_model import StubModel

BYTES = load_tokenizer('bytes')


def settings_of(name: str, folder) -> Settings:
  next(write for found, _, _, write in FORMS if found == name)(folder)
  return Settings(EvaluationFolder(folder))


@pytest.fixture(autouse=True)
def forget_tasks():
  before = set(seqio.TaskRegistry.names())
  yield
  for name in set(seqio.TaskRegistry.names()) - before:
    seqio.TaskRegistry.remove(name)


def test_choices_have_the_same_scores_in_seqio(tmp_path):
  settings = settings_of('sciq', tmp_path)
  task = register_benchmark(TASKS['sciq'], settings, BYTES)
  examples = list(task.get_dataset(None, 'validation', shuffle=False).as_numpy_iterator())
  evaluator = TASKS['sciq'].evaluator(settings)
  assert len(examples) == sum(len(item.choices) for item in evaluator.items)
  assert BYTES.decode(examples[0]['inputs']) == evaluator.items[0].prompt
  nats = np.random.default_rng(0).uniform(1, 9, len(examples))
  targets = [task.postprocess_fn(None, example=example, is_target=True) for example in examples]
  [metric] = task.score_metric_fns
  found = metric(targets, -nats)
  values = iter(nats)
  expected = evaluator.run(StubModel(lambda *_: float(next(values, 1.0)))).scores
  for name in ('accuracy_raw', 'accuracy_per_byte', 'gold_probability', 'score', 'chance'):
    assert found[name] == pytest.approx(expected[name])


def test_free_answers_have_the_same_scores_in_seqio(tmp_path):
  settings = settings_of('nq_open', tmp_path)
  task = register_benchmark(TASKS['nq_open'], settings, BYTES)
  examples = list(task.get_dataset(None, 'validation', shuffle=False).as_numpy_iterator())
  targets = [task.postprocess_fn(None, example=example, is_target=True) for example in examples]
  [metric] = task.predict_metric_fns
  said = ['No 0', *['x'] * 4, *['wrong'] * 5]
  assert metric(targets, said) == {'exact_match': 0.5}


def test_a_seqio_task_with_metrics_is_a_benchmark():
  def dataset(split, shuffle_files, seed=None):
    return tf.data.Dataset.from_tensor_slices({'inputs': ['2 + 2 =', '3 + 3 ='], 'targets': [' 4', ' 6']})

  feature = seqio.Feature(seqio.ByteVocabulary(), add_eos=False)
  seqio.TaskRegistry.add(
    'sums',
    source=seqio.FunctionDataSource(dataset, splits=['validation']),
    preprocessors=[seqio.preprocessors.tokenize],
    output_features={'inputs': feature, 'targets': feature},
    postprocess_fn=lambda text, example=None, is_target=False: text.strip(),
    metric_fns=[lambda targets, predictions: {'right': float(np.mean([t == p for t, p in zip(targets, predictions, strict=True)]))}],
  )
  model = StubModel(say=lambda prompt, *_: ' 4')
  results = SeqioTask('sums', headline='right').evaluator(Settings()).run(model)
  assert results.scores['score'] == results.scores['right'] == 0.5
  assert model.prompted == ['2 + 2 =', '3 + 3 =']


def test_an_unknown_seqio_task_is_named():
  with pytest.raises(UserError, match="SeqIO has no task 'smus'"):
    SeqioTask('smus').evaluator(Settings())
