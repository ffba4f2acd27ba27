"""What a study reads is looked for before anything is prepared."""

from __future__ import annotations

import dataclasses

import pytest
import seqio
import tensorflow as tf

import codemix
from codemix.data.corpus.corpus import Corpus
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.studies.preparation import missing, prepare_study, splits_read
from tests import tiny_study
from tests.data.raw_corpora import write_lines

TEXTS = [b'rain and stone', b'a long story of rain'] * 40


@pytest.fixture(autouse=True)
def task():
  """A registered SeqIO task of a few documents."""
  make = lambda split, shuffle_files, seed=None: tf.data.Dataset.from_tensor_slices({'targets': TEXTS})
  seqio.TaskRegistry.add(
    'preparation_text',
    source=seqio.FunctionDataSource(make, splits=('train', 'validation')),
    preprocessors=[seqio.preprocessors.tokenize],
    output_features={'targets': seqio.Feature(TokenizerVocabulary(load_tokenizer('bytes')))},
  )
  yield
  seqio.TaskRegistry.remove('preparation_text')


@pytest.fixture
def data(tmp_path) -> codemix.Data:
  return codemix.Data(directory=str(tmp_path), tokenizer='bytes', task_modules=(), shards=1)


def study(mixture: dict, validation: tuple[str, ...] = ()) -> codemix.Study:
  recipe = tiny_study.recipe(tiny_study.stage('only', mixture, 4))
  return codemix.Study(name='preparation', recipes={'only': recipe}, validation=validation)


def test_each_split_that_is_read_is_prepared_once(data):
  asked = study({'preparation_text': 1.0}, validation=('preparation_text',))
  assert missing(asked, data) == splits_read(asked, data)
  stores = prepare_study(asked, data, lambda line: None)
  assert list(stores) == [('preparation_text', 'train'), ('preparation_text', 'validation')]
  assert missing(asked, data) == []
  said = []
  again = prepare_study(asked, data, said.append)
  assert [store.digest for store in again.values()] == [store.digest for store in stores.values()]
  # A function is the source: what it reads, nobody knows.
  assert [line.split(' was prepared before')[0] for line in said] == ['prepare: preparation_text train', 'prepare: preparation_text validation']


def test_a_source_that_is_no_task_is_named_before_another_is_tokenized(data, tmp_path):
  said = []
  with pytest.raises(codemix.UserError, match="no SeqIO task is named 'preparation_txet'.*Did you mean 'preparation_text'"):
    prepare_study(study({'preparation_text': 0.5, 'preparation_txet': 0.5}), data, said.append)
  assert said == []
  assert list(tmp_path.iterdir()) == []


def with_corpus(data, folder, name: str = 'lines'):
  write_lines(folder, [TEXTS_OF_LINES])
  corpus = Corpus(files={'train': 'part-0.jsonl', 'validation': 'part-0.jsonl'}, root=str(folder))
  return dataclasses.replace(data, sources={name: corpus})


TEXTS_OF_LINES = ['rain and stone', 'def stone(rain): return rain']


def test_a_mixture_takes_corpora_and_seqio_tasks_together(data, tmp_path):
  both = with_corpus(data, tmp_path / 'raw')
  asked = study({'lines': 0.5, 'preparation_text': 0.5}, validation=('lines',))
  stores = prepare_study(asked, both, lambda line: None)
  assert stores['lines', 'train'].documents == 2
  assert stores['preparation_text', 'train'].documents == len(TEXTS)
  assert missing(asked, both) == []
  said = []
  prepare_study(asked, both, said.append)
  assert [line for line in said if 'was prepared before' not in line] == []


def test_a_name_is_looked_for_among_the_corpora_first(data, tmp_path):
  stores = prepare_study(study({'preparation_text': 1.0}), with_corpus(data, tmp_path / 'raw', 'preparation_text'), lambda line: None)
  assert stores['preparation_text', 'train'].documents == 2


def test_a_misspelt_source_is_told_the_nearest_corpus(data, tmp_path):
  with pytest.raises(codemix.UserError, match="nor a corpus of Data.sources.*Did you mean 'lines'"):
    prepare_study(study({'line': 1.0}), with_corpus(data, tmp_path / 'raw'), lambda line: None)


def test_documents_of_a_task_are_accounted_for(data):
  [store] = prepare_study(study({'preparation_text': 1.0}), data, lambda line: None).values()
  accounts = store.manifest['accounts']
  assert accounts['records'] == accounts['kept']['documents'] == len(TEXTS)
  assert accounts['kept']['bytes'] == sum(map(len, TEXTS)) == store.bytes
  assert store.manifest['golden'][0]['text'] == TEXTS[0].decode()
