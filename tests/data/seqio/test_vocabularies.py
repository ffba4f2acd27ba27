"""In a TensorFlow graph and in real SeqIO tasks a vocabulary says what its tokenizer says."""

import functools
import gzip
import itertools
import json
import math
import pickle

import numpy as np
import pytest
import seqio
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer

DOCUMENTS = [
  f'def method_{n}(self):\n    return self.value_{n % 7} + {n}\n\nMethod {n} adds two.\n'.encode()
  for n in range(40)
] + [b'', b'ends <eos> here', b'caf\xe9 \xff\xfe', 'naïve \U0001f600'.encode()]


@pytest.fixture(scope='module')
def bpe_path(tmp_path_factory):
  path = tmp_path_factory.mktemp('tokenizer') / 'tokenizer.json'
  train_bpe(DOCUMENTS, 290, path)
  return path


@pytest.fixture(params=['bpe', 'bytes'], scope='module')
def vocabulary(request, bpe_path):
  return TokenizerVocabulary(load_tokenizer('bytes' if request.param == 'bytes' else bpe_path))


@pytest.fixture
def make_task():
  """Makes a task over documents (bytes) as users write one, and forgets it after the test."""
  names = []

  def make(vocabulary, documents, append_eos=seqio.preprocessors.append_eos):
    names.append(f'vocabulary_test_{len(names)}')
    feature = seqio.Feature(vocabulary, add_eos=True)
    return seqio.TaskRegistry.add(
      names[-1],
      source=seqio.FunctionDataSource(functools.partial(_dataset, documents), splits=('train',)),
      preprocessors=[seqio.preprocessors.tokenize, append_eos],
      output_features={'targets': feature},
    )

  yield make
  for name in names:
    seqio.TaskRegistry.remove(name)


def _dataset(documents, split, shuffle_files, seed=None):
  return tf.data.Dataset.from_tensor_slices({'targets': tf.constant(documents)})


def examples_of(task, **lengths):
  return list(task.get_dataset(lengths or None, 'train', shuffle=False).as_numpy_iterator())


def test_a_task_gives_each_document_its_ids_and_one_eos(vocabulary, make_task):
  examples = examples_of(make_task(vocabulary, DOCUMENTS))
  assert len(examples) == len(DOCUMENTS)
  for document, example in zip(DOCUMENTS, examples, strict=True):
    ids = example['targets'].tolist()
    assert example['targets'].dtype == np.int32
    assert ids == vocabulary.tokenizer.encode(document) + [vocabulary.eos_id]
    assert vocabulary.tokenizer.decode_bytes(ids) == document
    assert example['targets_pretokenized'] == document


def test_a_task_trims_to_the_sequence_length(vocabulary, make_task):
  task = make_task(vocabulary, DOCUMENTS, seqio.preprocessors.append_eos_after_trim)
  longest = max(len(example['targets']) for example in examples_of(task, targets=6))
  assert longest == 6


def test_a_mixture_takes_tasks_whose_tokenizers_have_the_same_bytes(make_task, bpe_path):
  tasks = [make_task(TokenizerVocabulary(load_tokenizer(bpe_path)), DOCUMENTS) for _ in range(2)]
  mixture = seqio.Mixture('vocabulary_test_mixture', [(task, 1.0) for task in tasks])
  dataset = mixture.get_dataset(None, 'train', shuffle=False)
  assert next(dataset.as_numpy_iterator())['targets'][-1] == 2


def test_a_mixture_refuses_tasks_with_different_tokenizers(make_task, bpe_path):
  vocabularies = [TokenizerVocabulary(load_tokenizer(spec)) for spec in (bpe_path, 'bytes')]
  tasks = [(make_task(vocabulary, DOCUMENTS), 1.0) for vocabulary in vocabularies]
  with pytest.raises(ValueError, match='vocabular'):
    seqio.Mixture('vocabulary_test_mixture', tasks).get_dataset(None, 'train')


def test_a_feature_converter_takes_the_examples(vocabulary, make_task):
  dataset = make_task(vocabulary, DOCUMENTS).get_dataset(None, 'train', shuffle=False)
  converted = seqio.LMFeatureConverter(pack=True)(dataset, {'targets': 512})
  rows = list(converted.as_numpy_iterator())
  seen = sum(int((row['decoder_target_tokens'] == vocabulary.eos_id).sum()) for row in rows)
  assert all(row['decoder_target_tokens'].shape == (512,) for row in rows)
  assert seen == len(DOCUMENTS)


def test_parallel_map_keeps_documents_and_order(vocabulary):
  dataset = tf.data.Dataset.from_tensor_slices(DOCUMENTS * 5)
  dataset = dataset.map(vocabulary.encode_tf, num_parallel_calls=4)
  rows = [ids.tolist() for ids in dataset.as_numpy_iterator()]
  assert dataset.element_spec == tf.TensorSpec([None], tf.int32)
  assert rows == vocabulary.tokenizer.encode_batch(DOCUMENTS * 5)


def test_a_batched_dataset_encodes_to_ragged_rows(vocabulary):
  dataset = tf.data.Dataset.from_tensor_slices(DOCUMENTS).batch(11, drop_remainder=True)
  dataset = dataset.map(vocabulary.encode_tf)
  rows = [row.tolist() for batch in dataset for row in batch.numpy()]
  assert len(DOCUMENTS) == 44
  assert dataset.element_spec.shape.as_list() == [11, None]
  assert rows == vocabulary.tokenizer.encode_batch(DOCUMENTS)


def test_a_batch_of_none_encodes_to_no_rows(vocabulary):
  ids = vocabulary.encode_tf(tf.constant([], tf.string))
  assert ids.shape.as_list() == [0, None]
  assert ids.dtype == tf.int32


@pytest.mark.parametrize('shape', [(2, 3), (3, 1, 2), (2, 0)])
def test_nested_batches_keep_their_shape(vocabulary, shape):
  texts = np.array(DOCUMENTS[: math.prod(shape)], object).reshape(shape)
  ids = vocabulary.encode_tf(tf.constant(texts, tf.string))
  nested = np.empty(shape, object)
  for index in np.ndindex(shape):
    nested[index] = vocabulary.tokenizer.encode(texts[index])
  assert ids.to_list() == nested.tolist()


def test_ragged_texts_encode_to_ragged_ids(vocabulary):
  texts = tf.ragged.constant([[b'a b', b'c'], [], [b'def f']])
  ids = vocabulary.encode_tf(texts)
  encode = vocabulary.tokenizer.encode
  assert ids.to_list() == [[encode('a b'), encode('c')], [], [encode('def f')]]


@settings(deadline=None, max_examples=50)
@given(documents=st.lists(st.binary(max_size=20) | st.text().map(str.encode), max_size=5))
def test_graph_and_python_agree(vocabulary, documents):
  ids = vocabulary.encode_tf(tf.constant(documents, tf.string))
  assert ids.to_list() == [list(vocabulary.encode(document)) for document in documents]
  texts = [text.decode() for text in vocabulary.decode_tf(ids).numpy()] if documents else []
  assert texts == [vocabulary.decode(row) for row in ids.to_list()]


@settings(deadline=None, max_examples=50)
@given(document=st.binary(max_size=30))
def test_one_document_encodes_alone_as_in_a_batch(vocabulary, document):
  alone = vocabulary.encode_tf(tf.constant(document))
  assert alone.shape.rank == 1
  assert vocabulary.tokenizer.decode_bytes(alone.numpy().tolist()) == document


def test_decoding_stops_at_the_first_eos(vocabulary):
  kept, dropped = vocabulary.encode('kept'), vocabulary.encode('dropped')
  ids = [vocabulary.bos_id, *kept, vocabulary.eos_id, *dropped]
  assert vocabulary.decode(ids) == 'kept'
  assert vocabulary.decode(tf.constant(ids)) == 'kept'
  assert vocabulary.decode_tf(tf.constant(ids)).numpy() == b'kept'
  assert vocabulary.decode_tf(tf.constant([ids, ids])).numpy().tolist() == [b'kept', b'kept']
  assert vocabulary.decode_tf(tf.constant([[ids], [ids]])).shape == (2, 1)


def test_decoding_nothing_gives_the_empty_text(vocabulary):
  assert vocabulary.decode([]) == ''
  assert vocabulary.decode_tf(tf.constant([], tf.int32)).numpy() == b''
  assert vocabulary.decode_tf(tf.zeros([3, 0], tf.int32)).numpy().tolist() == [b''] * 3


def test_decoding_in_a_graph_gives_utf8_for_any_ids(vocabulary):
  ids = vocabulary.encode(b'\xff ok \xe9')
  assert vocabulary.decode_tf(tf.constant(ids)).numpy().decode() == '\ufffd ok \ufffd'


def test_decoding_in_a_dataset_knows_its_shape(vocabulary):
  rows = tf.zeros([4, 3, 5], tf.int32)
  dataset = tf.data.Dataset.from_tensor_slices(rows).map(vocabulary.decode_tf)
  assert dataset.element_spec == tf.TensorSpec([3], tf.string)


def test_the_special_ids_are_the_tokenizers(vocabulary):
  tokenizer = vocabulary.tokenizer
  assert vocabulary.pad_id == tokenizer.pad_id
  assert vocabulary.bos_id == tokenizer.bos_id
  assert vocabulary.eos_id == tokenizer.eos_id
  assert vocabulary.unk_id is None
  assert vocabulary.vocab_size == tokenizer.vocab_size
  assert vocabulary.extra_ids == 0


def test_vocabularies_are_equal_where_the_tokenizer_bytes_are(bpe_path, tmp_path):
  (tmp_path / 'copy.json').write_bytes(bpe_path.read_bytes())
  one, copy, other = (
    TokenizerVocabulary(load_tokenizer(spec))
    for spec in (bpe_path, tmp_path / 'copy.json', 'bytes')
  )
  assert one == copy and hash(one) == hash(copy) and str(one) == str(copy)
  assert one != other and str(one) != str(other)
  assert one != seqio.ByteVocabulary()


def test_a_pickle_is_equal_and_encodes_alike(vocabulary):
  other = pickle.loads(pickle.dumps(vocabulary))
  assert other == vocabulary
  assert other.encode('return <eos>') == vocabulary.encode('return <eos>')


@pytest.mark.parametrize('file, field', [
  ('code/codexglue_line_completion/py150_dev.jsonl.gz', 'input'),
  ('text/wikitext2/valid.jsonl.gz', 'text'),
])
def test_real_documents_come_back_from_a_task(vocabulary, make_task, shared_data, file, field):
  with gzip.open(shared_data / 'corpora' / file, 'rt') as lines:
    documents = [json.loads(line)[field].encode() for line in itertools.islice(lines, 60)]
  examples = examples_of(make_task(vocabulary, documents))
  assert [vocabulary.decode(example['targets']).encode() for example in examples] == documents
