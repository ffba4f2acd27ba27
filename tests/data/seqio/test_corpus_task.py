"""A corpus as a SeqIO task gives the documents that pass its filters, once each, however it is sharded."""

import pytest
import seqio
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.filters import ExactDuplicates, Size
from codemix.data.seqio.corpus_task import CorpusDataSource, register_corpus
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from tests.data.corpus.files import read_good, write_bytes, write_lines


def examples(source, split='train', shard=None, **options):
  return list(source.get_dataset(split, shard_info=shard, **{'shuffle': False, **options}).as_numpy_iterator())


def texts(found):
  return [example['text'].decode() for example in found]


@pytest.fixture
def register():
  names = []

  def registering(name, corpus):
    names.append(name)
    return register_corpus(name, corpus)

  yield registering
  for name in names:
    seqio.TaskRegistry.remove(name)


def test_a_task_over_slim_pajama_as_it_is_distributed(register, shared_data, tmp_path):
  texts_of_c4 = texts_of(shared_data)
  records = [
    {'text': text, 'meta': {'redpajama_set_name': f'RedPajama{"C4" if number % 3 else "Github"}'}}
    for number, text in enumerate(texts_of_c4)
  ]
  for chunk in range(2):
    write_lines(tmp_path / f'train/chunk{chunk}/example_0.jsonl.zst', records[chunk * 50 : (chunk + 1) * 50])
  corpus = Corpus(
    {'train': 'train/chunk*/*.jsonl.zst'},
    layout=Text(source='meta.redpajama_set_name', constants={'language': 'en'}),
    root=str(tmp_path),
    validation_share=0.2,
  )
  task = register('slim', corpus)
  bytes_of = load_tokenizer('bytes')
  for split in ('train', 'validation'):
    found = list(task.get_dataset(None, split, shuffle=False).as_numpy_iterator())
    expected = read_good(corpus, split)
    assert [example['targets_pretokenized'].decode() for example in found] == [record.text for record in expected]
    for key in ('source', 'language', 'id'):
      assert [example[key].decode() for example in found] == [getattr(record, key) for record in expected]
    for example in found:
      assert example['targets'].tolist() == [*bytes_of.encode(example['targets_pretokenized']), bytes_of.eos_id]


def texts_of(shared_data):
  return [record.text for record in read_good(Corpus({'train': str(shared_data / 'corpora/text/c4/validation.jsonl.gz')}))]


def test_filters_are_applied_in_streams_too(tmp_path):
  path = write_lines(tmp_path / 'a.jsonl', [{'text': text} for text in ('a', 'long enough', 'long enough', 'also long')])
  corpus = Corpus({'train': path}, filters=(Size(min_bytes=5), ExactDuplicates()))
  assert texts(examples(CorpusDataSource(corpus))) == ['long enough', 'also long']
  with pytest.raises(UserError, match='compares the whole corpus'):
    examples(CorpusDataSource(corpus), shard=seqio.ShardInfo(0, 2))


@given(pieces=st.integers(1, 6), shards=st.integers(1, 7), shuffle=st.booleans())
@settings(max_examples=15, deadline=None)
def test_shards_are_a_partition(tmp_path_factory, pieces, shards, shuffle):
  expected = [f'document {number}' for number in range(20)]
  path = write_lines(tmp_path_factory.mktemp('shards') / 'a.jsonl', [{'text': text} for text in expected])
  source = CorpusDataSource(Corpus({'train': path}, JsonLines(piece_bytes=600 // pieces)))
  found = [
    text
    for index in range(shards)
    for text in texts(examples(source, shard=seqio.ShardInfo(index, shards), shuffle=shuffle, seed=1))
  ]
  assert sorted(found) == sorted(expected)


def test_more_broken_records_than_allowed_end_the_stream(tmp_path):
  path = write_bytes(tmp_path / 'a.jsonl', b'{"text": "good"}\n' * 90 + b'broken\n' * 10)
  with pytest.raises(tf.errors.OpError, match=r'10 of 100 records are broken, more than Corpus.max_bad_share=0.05. The first: .*a.jsonl:91: not JSON'):
    examples(CorpusDataSource(Corpus({'train': path}, max_bad_share=0.05)))
  assert len(examples(CorpusDataSource(Corpus({'train': path}, max_bad_share=0.1)))) == 90


def test_a_taken_name_is_refused(register, tmp_path):
  corpus = Corpus({'train': str(tmp_path / 'a.jsonl')})
  register('mine', corpus)
  with pytest.raises(UserError, match="'mine' is registered already"):
    register_corpus('mine', corpus)
