"""TFRecords and TFDS data sets give the same rows as the same corpus in JSON lines."""

import shutil

import pytest

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.readers.tfds import Tfds
from codemix.data.corpus.readers.tfrecords import TFRecords
from codemix.data.raw.record import BadRecord
from codemix.errors import UserError
from tests.data.corpus.files import gzip_lines, read_good, reasons, rows

FOLDER = 'corpora/text/c4_tfds'


@pytest.fixture
def told(shared_data):
  return [record['text'] for record in gzip_lines(shared_data / 'corpora/text/c4/validation.jsonl.gz')]


def test_a_tfds_data_set_is_read_by_its_name_from_a_folder(shared_data, told):
  corpus = Corpus(
    {'validation': 'tfds:c4/en:3.1.0', 'held': 'tfds:c4/en:3.1.0@validation'},
    Tfds('c4_tfds'),
    root=str(shared_data / 'corpora/text'),
  )
  assert len(corpus.pieces('validation')) == 2
  assert sorted(record.text for record in read_good(corpus, 'validation')) == sorted(told)
  assert read_good(corpus, 'held') == read_good(corpus, 'validation')
  assert len(corpus.identity('validation')['files']) == 2


@pytest.mark.parametrize(
  ('name', 'split', 'message'),
  [
    ('tfds:c4/en:9.9.9', 'train', 'is not prepared in .*tfds build'),
    ('tfds:absent', 'train', 'is not prepared in'),
    ('tfds:c4/en:3.1.0', 'valid', "no split 'valid', only train, validation. Did you mean 'validation'"),
    ('c4/en:3.1.0', 'train', "write it as 'tfds:"),
  ],
)
def test_a_data_set_that_is_not_there_is_refused(shared_data, name, split, message):
  with pytest.raises(UserError, match=message):
    Corpus({split: name}, Tfds(str(shared_data / FOLDER))).pieces(split)


def test_examples_of_tfrecord_files_are_rows(shared_data, told):
  corpus = Corpus({'train': 'c4/en/3.1.0/*-validation.tfrecord-*'}, TFRecords(), root=str(shared_data / FOLDER))
  assert sorted(record.text for record in read_good(corpus)) == sorted(told)


def test_features_of_each_kind_are_values(tmp_path):
  import tensorflow as tf

  feature = {
    'text': tf.train.Feature(bytes_list=tf.train.BytesList(value=[b'one'])),
    'many': tf.train.Feature(bytes_list=tf.train.BytesList(value=[b'a', b'b'])),
    'number': tf.train.Feature(int64_list=tf.train.Int64List(value=[7])),
    'none': tf.train.Feature(),
  }
  example = tf.train.Example(features=tf.train.Features(feature=feature))
  options = tf.io.TFRecordOptions(compression_type='GZIP')
  with tf.io.TFRecordWriter(f'{tmp_path}/a.gz', options) as writer:
    writer.write(example.SerializeToString())
    writer.write(b'no example')
  good, bad = rows(TFRecords(), f'{tmp_path}/a.gz')
  assert good[1] == {'text': b'one', 'many': [b'a', b'b'], 'number': 7, 'none': []}
  assert bad.reason == 'not an Example'


@pytest.mark.parametrize('reader', [TFRecords(), Tfds()])
@pytest.mark.parametrize('cut', [True, False])
def test_damage_is_found_by_the_checksums(shared_data, tmp_path, reader, cut):
  source = shared_data / FOLDER / 'c4/en/3.1.0'
  for name in ('dataset_info.json', 'features.json'):
    shutil.copyfile(source / name, tmp_path / name)
  path = tmp_path / '__local_c4_builder-train.tfrecord-00003-of-00008'
  data = bytearray((source / path.name).read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data[: len(data) // 2] if cut else data)
  *good, damage = rows(reader, str(path))
  assert reasons([damage]) == {path.name: 'damaged file'}
  assert 0 < len(good) < 125 and not any(isinstance(row, BadRecord) for row in good)
  assert damage.after == len(good) and damage.lost != 1  # the rest of the file is lost, not one record


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match='absent.tfrecord'):
    rows(TFRecords(), f'{tmp_path}/absent.tfrecord')
