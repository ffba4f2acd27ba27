"""A stage in SeqIO's registry gives exactly the rows of the run, in their order, however it is sharded."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import seqio
import tensorflow as tf

import codemix
from codemix.data.corpus.corpus import Corpus
from codemix.data.seqio.stage_task import DECODER_FEATURES, FEATURES
from codemix.data.seqio.tasks import register_jsonl_task
from tests import tiny_study
from tests.commands.test_wrong_input import GIN

LENGTH = {'targets': tiny_study.LENGTH}
SHARDS = pytest.mark.parametrize('shards', [1, 3, pytest.param(8, marks=pytest.mark.slow)])


@pytest.fixture(autouse=True)
def forget():
  """Takes the tasks of a test out of the registry again."""
  before = set(seqio.TaskRegistry.names())
  yield
  for name in set(seqio.TaskRegistry.names()) - before:
    seqio.TaskRegistry.remove(name)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  data = tiny_study.prepare(tmp_path_factory.mktemp('prepared'))
  return codemix.plan_study(tiny_study.study(balanced_to_text=tiny_study.balanced_to_text()), data)


@pytest.fixture(scope='module')
def streamed(tmp_path_factory):
  """The same recipe, its text a corpus that is streamed, its code a SeqIO task that is."""
  folder = tmp_path_factory.mktemp('streamed')
  for name, words in (('text', 12), ('code', 240)):
    lines = (json.dumps({'text': text.decode()}) for text in tiny_study.documents(name, words, 4000 // words, seed=1))
    (folder / f'{name}.jsonl').write_text('\n'.join(lines))
  sources = {'text': Corpus({'train': str(folder / 'text.jsonl')})}
  register_jsonl_task('code', {'train': str(folder / 'code.jsonl')})
  data = codemix.Data(directory=str(folder), sources=sources, streaming=True, task_modules=())
  study = codemix.Study(name='streamed', recipes={'balanced_to_text': tiny_study.balanced_to_text()})
  yield codemix.plan_study(study, data)
  seqio.TaskRegistry.remove('code')


def rows_of_the_run(plan, stage):
  rows = stage.rows(plan.sources)
  if rows.streamed:
    return next(rows.in_order(len(rows), range(1), np.arange(len(rows))))
  return rows.read(np.arange(len(rows)))


def arrays(dataset):
  rows = list(dataset.as_numpy_iterator())
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@SHARDS
@pytest.mark.parametrize('kind', ['prepared', 'streamed'])
def test_shard_i_of_n_gives_rows_i_to_the_last_by_n_bitwise(kind, shards, request):
  plan = request.getfixturevalue(kind)
  names = codemix.register_stages(plan)
  assert names == ['balanced_to_text/balanced', 'balanced_to_text/continued', 'balanced_to_text/cooldown']
  for name, stage in zip(names, plan.recipes['balanced_to_text'], strict=True):
    task, run = seqio.get_mixture_or_task(name), rows_of_the_run(plan, stage)
    assert len(run['targets']) == stage.steps * tiny_study.BATCH
    for index in range(shards):
      found = arrays(task.get_dataset(LENGTH, 'train', shuffle=False, shard_info=seqio.ShardInfo(index, shards)))
      for feature, dtype in FEATURES.items():
        assert found[feature].dtype == dtype.as_numpy_dtype
        np.testing.assert_array_equal(found[feature], run[feature][index::shards])
      for feature, ours in DECODER_FEATURES.items():
        np.testing.assert_array_equal(found[feature], found[ours])


def test_shards_drawn_in_turn_and_batched_are_the_global_batches(prepared):
  name = codemix.register_stages(prepared)[1]
  run = rows_of_the_run(prepared, prepared.recipes['balanced_to_text'][1])
  converter = seqio.PrePackedLMFeatureConverter()
  half = tiny_study.BATCH // 2
  hosts = [
    seqio.get_dataset(name, LENGTH, converter, 'train', num_epochs=None, shard_info=seqio.ShardInfo(host, 2), batch_size=half)
    for host in range(2)
  ]
  for step, (even, odd) in enumerate(zip(*(host.take(9).as_numpy_iterator() for host in hosts), strict=True)):
    assert even.keys() == DECODER_FEATURES.keys()
    rows = (step * tiny_study.BATCH + np.arange(tiny_study.BATCH)) % len(run['targets'])  # after the stage it begins again
    for feature, ours in DECODER_FEATURES.items():
      both = np.stack([even[feature], odd[feature]], axis=1).reshape(tiny_study.BATCH, tiny_study.LENGTH)
      np.testing.assert_array_equal(both, run[ours][rows])


def test_an_iterator_is_saved_and_goes_on(prepared, tmp_path):
  name = codemix.register_stages(prepared)[0]
  dataset = seqio.get_mixture_or_task(name).get_dataset(LENGTH, 'train', shuffle=False)
  run = rows_of_the_run(prepared, prepared.recipes['balanced_to_text'][0])
  iterator = iter(dataset)
  for _ in range(5):
    next(iterator)
  saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / 'iterator'))
  other = iter(dataset)
  tf.train.Checkpoint(iterator=other).read(saved)
  np.testing.assert_array_equal(next(other)['targets'].numpy(), run['targets'][5])
  np.testing.assert_array_equal(next(iter(dataset.skip(17)))['inputs'].numpy(), run['inputs'][17])


def test_what_would_give_other_rows_is_refused(prepared):
  name = codemix.register_stages(prepared)[0]
  task = seqio.get_mixture_or_task(name)
  with pytest.raises(codemix.UserError, match='give shuffle=False'):
    task.get_dataset(LENGTH, 'train')
  with pytest.raises(codemix.UserError, match=r"have 32 tokens, and sequence_length asks for \{'targets': 16\}"):
    task.get_dataset({'targets': 16}, 'train', shuffle=False)
  with pytest.raises(codemix.UserError, match=f"'{name}' is registered already"):
    codemix.register_stages(prepared)


def test_gin_files_are_read_without_a_change_of_this_programs_gin(tmp_path):
  import gin

  tiny_study.prepare(tmp_path / 'data')
  (tmp_path / 'recipe.gin').write_text(GIN)
  gin.clear_config()
  gin.parse_config('OF_THE_PROGRAM = 7')
  before = gin.config_str()
  bindings = [f"Data.directory = '{tmp_path / 'data'}'"]
  names = codemix.register_study([str(tmp_path / 'recipe.gin')], bindings)
  assert names == ['recipe/first', 'recipe/second'] and gin.config_str() == before
  assert next(iter(seqio.get_mixture_or_task(names[1]).get_dataset(None, 'train', shuffle=False)))['targets'].dtype == tf.int32
  with pytest.raises(codemix.UserError, match='Stage.batsh'):
    codemix.register_study([str(tmp_path / 'recipe.gin')], [*bindings, 'Stage.batsh = 3'])


def test_recipes_that_are_streamed_have_one_limit_of_epochs(tmp_path):
  (tmp_path / 'text.jsonl').write_text('{"text": "one line"}\n')
  corpus = Corpus({'train': str(tmp_path / 'text.jsonl')})
  data = codemix.Data(directory=str(tmp_path), sources={'text': corpus, 'code': corpus}, streaming=True)
  once = tiny_study.balanced_to_text()
  study = tiny_study.study(once=dataclasses.replace(once, max_epochs=1.0), often=once)
  with pytest.raises(codemix.UserError, match=r'one Recipe.max_epochs, and these have \[1.0, '):
    codemix.plan_study(study, data)
