"""A SeqIO task's documents are ids of the run's tokenizer, or are refused in a line."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf

from codemix.data.open_stream import open_stream
from codemix.data.prepare.source import prepare
from codemix.data.seqio.registry import find_task
from codemix.data.seqio.task_documents import WHOLE, stream, task_examples
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.settings import Data
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError

BYTES = load_tokenizer('bytes')
TEXTS = [f'def f_{n}(x):\n    return x + {n}\n'.encode() for n in range(20)]
IDS = [BYTES.encode(text) for text in TEXTS]
TOKENIZE = (seqio.preprocessors.tokenize, seqio.preprocessors.append_eos)
OURS = TokenizerVocabulary(BYTES)


@pytest.fixture
def register():
  """Registers a task of 'targets', strings or ids, in both splits, and forgets it after the test."""
  names = []

  def registering(values, preprocessors=(), vocabulary=OURS, **feature):
    names.append(f'task_documents_{len(names)}')
    signature = tf.TensorSpec([], tf.string) if values and isinstance(values[0], bytes) else tf.TensorSpec([None], tf.int32)
    if not callable(values):
      values = lambda values=values: iter(values)
    make = lambda split, shuffle_files, seed=None: tf.data.Dataset.from_generator(values, output_signature=signature).map(
      lambda value: {'targets': value}
    )
    seqio.TaskRegistry.add(
      names[-1],
      source=seqio.FunctionDataSource(make, splits=('train', 'validation')),
      preprocessors=list(preprocessors),
      output_features={'targets': seqio.Feature(vocabulary, **{'add_eos': True, **feature})},
    )
    return names[-1]

  yield registering
  for name in names:
    seqio.TaskRegistry.remove(name)


def data(folder) -> Data:
  return Data(directory=str(folder), task_modules=(), shards=1)


def prepared(folder, name, split='train'):
  return prepare(name, split, data(folder), BYTES, lambda line: None)


def streamed(folder, name, split='train'):
  return list(open_stream(name, data(folder), BYTES, length=8, max_epochs=1).read())


READ = pytest.mark.parametrize('read', [prepared, streamed, lambda f, name: prepared(f, name, 'validation')], ids=['prepare', 'stream', 'validation'])


def added(number):
  return lambda dataset: dataset.map(lambda example: {**example, 'targets': example['targets'] + number})


def as_floats(dataset):
  return dataset.map(lambda example: {**example, 'targets': tf.cast(example['targets'], tf.float32)})


def as_rows(dataset):
  return dataset.map(lambda example: {**example, 'targets': example['targets'][None]})


def without_targets(dataset):
  return dataset.map(lambda example: {'inputs': example['targets']})


def as_ragged(dataset):
  return dataset.map(lambda example: {'targets': tf.RaggedTensor.from_row_lengths(example['targets'], [2, 0])})


def raising(dataset):
  def fail(text):
    raise KeyError('no such column')

  return dataset.map(lambda example: {**example, 'targets': tf.numpy_function(fail, [example['targets']], tf.int32)}).map(
    lambda example: {**example, 'targets': tf.ensure_shape(example['targets'], [None])}
  )


EOS, BOS, PAD = BYTES.eos_id, BYTES.bos_id, BYTES.pad_id

WRONG = {
  'token 0 has the id 1103, outside of the run.s tokenizer, which has 0 to 258': (TEXTS, (*TOKENIZE, added(1000))),
  'token 0 has the id 100103, outside': (TEXTS, (*TOKENIZE, added(100_000))),
  'token 0 has the id -1, outside': ([[-1, 100]], ()),
  'brings ids of its own, and declares for .targets. PassThroughVocabulary of 1,300 entries': (
    [[1103, 1104]], (), seqio.PassThroughVocabulary(1300),
  ),
  'declares for .targets. PassThroughVocabulary of 259 entries .EOS 1.': (IDS, (), seqio.PassThroughVocabulary(259, eos_id=1)),
  'declares for .targets. ByteVocabulary of 259 entries .EOS 1.; the run.s tokenizer is bytes of 259 entries .EOS 2.': (
    IDS, (), seqio.ByteVocabulary(),
  ),
  'token 1 of 4 has the id 2, the end of a document': ([[100, EOS, 101, EOS]], ()),
  'token 2 of 4 has the id 2, the end of a document. A task': ([[100, 101, EOS, EOS]], ()),
  'token 0 of 2 has the id 1, the beginning of a document': ([[BOS, 101]], ()),
  'token 1 of 3 has the id 0, padding': ([[100, PAD, PAD]], ()),
  'declares .targets. of rank 2': ([[100]], (as_rows,), OURS, {'rank': 2}),
  'incorrect rank for feature .targets.*Got 2, expected 1': ([[100]], (as_rows,)),
  'incorrect rank for feature .targets.*': ([[100, 101]], (as_ragged,)),
  'declares .targets. of dtype float32': ([[100]], (as_floats,), OURS, {'dtype': tf.float32}),
  'incorrect type for feature .targets.*Got float32, expected int32': ([[100]], (as_floats,)),
  'missing expected output feature after preprocessing: targets': ([[100]], (without_targets,)),
  'gave no document with text|fills no row': ([], ()),
  'cannot be read: KeyError: .no such column': (TEXTS, (raising,)),
}


@READ
@pytest.mark.parametrize('says', WRONG)
def test_ids_that_are_not_the_tokenizers_are_refused_in_a_line(register, tmp_path, read, says):
  values, preprocessors, *rest = WRONG[says]
  name = register(values, preprocessors, *rest[:1], **(rest[1] if len(rest) > 1 else {}))
  with pytest.raises(UserError, match=says) as caught:
    if not read(tmp_path, name):
      raise UserError('fills no row')  # what a stream without documents comes to
  assert '\n' not in str(caught.value)
  assert says.startswith('gave no') or name in str(caught.value)


def documents(store):
  starts = [0, *store.document_ends.tolist()]
  return [store.read(start, end).tolist() for start, end in zip(starts, starts[1:], strict=False)]


@pytest.mark.parametrize(
  ('values', 'preprocessors', 'vocabulary'),
  [
    (TEXTS, TOKENIZE, OURS),
    (TEXTS, TOKENIZE[:1], OURS),
    (TEXTS, (seqio.preprocessors.tokenize_and_append_eos,), OURS),
    (TEXTS, TOKENIZE, seqio.ByteVocabulary()),  # the run's tokenizer stands in its place
    (IDS, (), OURS),
    (IDS, TOKENIZE[1:], OURS),
    (IDS, (), seqio.PassThroughVocabulary(259)),
    ([np.append(ids, EOS) for ids in IDS], (), seqio.PassThroughVocabulary(259, eos_id=EOS)),
  ],
)
def test_ids_of_the_tokenizer_are_read_with_one_eos(register, tmp_path, values, preprocessors, vocabulary):
  name = register(values, preprocessors, vocabulary)
  expected = [[*ids, EOS] for ids in IDS]
  assert documents(prepared(tmp_path, name)) == expected
  assert [ids.tolist() for ids in streamed(tmp_path, name)] == expected


def test_ids_of_another_bpe_of_the_same_size_are_refused(register, tmp_path):
  one, other = (train_bpe([text * 9], 262, tmp_path / f'{name}.json') for name, text in (('one', 'abcd '), ('other', 'wxyz ')))
  name = register([one.encode('abcd')], (), TokenizerVocabulary(one))
  task = find_task(name, 'train')
  assert len(list(stream(task, 'train', one))) == 1
  with pytest.raises(UserError, match=f"'{name}' brings ids of its own.*TokenizerVocabulary of 262 entries"):
    list(stream(task, 'train', other))


def test_empty_documents_are_counted_and_left_out(register, tmp_path):
  name = register([b'', *TEXTS, b''], TOKENIZE)
  store = prepared(tmp_path, name)
  assert documents(store) == [[*ids, EOS] for ids in IDS]
  assert (store.manifest['accounts']['empty'], store.manifest['accounts']['records']) == (2, len(TEXTS) + 2)
  assert len(streamed(tmp_path, name)) == len(TEXTS)
  with pytest.raises(UserError, match=r'gave no document with text in its split .validation. \(3 are empty\)'):
    prepared(tmp_path, register([b'', b'', b''], TOKENIZE), 'validation')


def test_reading_a_part_of_a_small_task_warns_of_nothing(capfd):
  make = lambda split, shuffle_files, seed=None: tf.data.Dataset.range(9).map(lambda n: {'targets': [n + 3]})
  feature = seqio.Feature(seqio.PassThroughVocabulary(100), add_eos=False, dtype=tf.int64)
  source = seqio.FunctionDataSource(make, splits=('train',), num_input_examples={'train': 9})
  task = seqio.Task('small', source=source, output_features={'targets': feature})
  examples = task_examples(task, 'train', WHOLE)
  assert next(examples)['targets'].tolist() == [3]
  examples.close()
  assert capfd.readouterr().err == ''
