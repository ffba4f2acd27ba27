"""A corpus: the same documents in any division, broken data set aside, identity that follows every change."""

import dataclasses
import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.filters import MaxFloats
from codemix.data.raw.protocols import Piece
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError
from tests.data.corpus.files import gzip_lines, read, read_good, reasons, write_bytes, write_lines


def texts(items):
  return [item.text for item in items if isinstance(item, Record)]


@given(
  documents=st.lists(st.text(max_size=20), max_size=40),
  files=st.integers(1, 3),
  piece_bytes=st.integers(20, 500),
  share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_the_division_into_files_and_pieces_changes_no_document(tmp_path_factory, documents, files, piece_bytes, share):
  folder = tmp_path_factory.mktemp('corpus')
  for file in range(files):
    part = documents[file * len(documents) // files : (file + 1) * len(documents) // files]
    write_lines(folder / f'{file}.jsonl', [{'text': text} for text in part])
  write_lines(folder / 'whole.jsonl', [{'text': text} for text in documents])
  divided = Corpus({'train': '[0-9].jsonl'}, JsonLines(piece_bytes=piece_bytes), root=str(folder), validation_share=share)
  whole = Corpus({'train': 'whole.jsonl'}, root=str(folder), validation_share=share)
  for split in whole.splits():
    assert texts(read(divided, split)) == texts(read(whole, split))


def test_documents_set_apart_are_a_partition_by_their_text(shared_data):
  path = str(shared_data / 'corpora/text/c4/train.jsonl.gz')
  whole = texts(read_good(Corpus({'train': path})))
  divided = Corpus({'train': path}, validation_share=0.1)
  assert divided.splits() == ('train', 'validation')
  train, held_out = texts(read_good(divided)), texts(read_good(divided, 'validation'))
  assert sorted(train + held_out) == sorted(whole)
  assert not set(train) & set(held_out)
  assert 0.07 < len(held_out) / len(whole) < 0.13


def test_a_split_of_its_own_is_not_added_to():
  corpus = Corpus({'train': 'a', 'validation': 'b'}, validation_share=0.5)
  assert corpus.splits() == ('train', 'validation')


def test_broken_records_are_told_once():
  corpus = Corpus({'train': 'memory://told-once/a.jsonl'}, validation_share=0.5)
  import fsspec

  with fsspec.open('memory://told-once/a.jsonl', 'wb') as file:
    file.write(b'broken\n')
  assert len(read(corpus)) == 1 and not read(corpus, 'validation')


@given(data=st.binary(max_size=400), share=st.sampled_from([0.0, 0.5]))
@settings(max_examples=150, deadline=None)
def test_no_bytes_whatever_raise(tmp_path_factory, data, share):
  path = write_bytes(tmp_path_factory.mktemp('any') / 'a.jsonl', data + b'\n{"text": "\\ud800 last"}\n')
  corpus = Corpus({'train': path}, validation_share=share)
  items = [item for split in corpus.splits() for item in read(corpus, split)]
  assert '? last' in {item.text for item in items if isinstance(item, Record)}
  for item in items:
    assert isinstance(item, BadRecord) or item.text.encode()


def test_documents_without_text_are_given_to_be_counted(tmp_path):
  path = write_lines(tmp_path / 'a.jsonl', [{'text': ''}, {'text': 'a'}])
  assert texts(read_good(Corpus({'train': path}))) == ['', 'a']


def test_what_the_layout_does_not_know_the_corpus_does(tmp_path):
  write_lines(tmp_path / 'part/a.jsonl', [{'text': 'a'}, {'text': 'b', 'source': 's', 'id': 'i'}])
  corpus = Corpus({'train': 'part/*.jsonl'}, root=str(tmp_path), name='mine')
  assert read(corpus) == [Record('a', 'mine', '', 'part/a.jsonl:1'), Record('b', 's', '', 'i')]


# What the user got wrong.


def test_a_field_that_no_record_has_is_named_with_the_nearest(tmp_path):
  path = write_lines(tmp_path / 'a.jsonl', [{'content': 'a', 'meta': {'set_name': 'x'}}] * 5)
  with pytest.raises(UserError, match=r"no record has the field 'contents'.*a.jsonl:1.*Did you mean 'content'.* Say in Text"):
    Corpus({'train': path}, layout=Text('contents')).check('train')
  with pytest.raises(UserError, match=r"'meta.setname'.* Did you mean 'meta.set_name'"):
    Corpus({'train': path}, layout=Text('content', source='meta.setname')).check('train')
  with pytest.raises(UserError, match='Say in Template'):
    Corpus({'train': path}, layout=Template('{question}')).check('train')
  Corpus({'train': path}, layout=Text('content')).check('train')


def test_a_field_that_some_records_lack_is_no_fault_of_the_user(tmp_path):
  path = write_lines(tmp_path / 'a.jsonl', [{'no': 1}] * 50 + [{'text': 'a'}])
  Corpus({'train': path}).check('train')


def test_a_corpus_without_a_single_record_is_refused(tmp_path):
  path = write_bytes(tmp_path / 'a.jsonl', b'not\njson\n')
  with pytest.raises(UserError, match='no record can be read.*a.jsonl:1: not JSON'):
    Corpus({'train': path}, name='mine').check('train')
  Corpus({'train': write_bytes(tmp_path / 'empty.jsonl', b'')}).check('train')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'files': {}}, 'at least one entry'),
    ({'files': {'train': 'a'}, 'validation_share': 1.5}, 'from 0 to 1'),
    ({'files': {'train': 'a'}, 'max_bad_share': -1}, 'from 0 to 1'),
    ({'files': {'test': 'a'}, 'validation_share': 0.1}, "'train'"),
  ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    Corpus(**options)


def test_missing_files_and_splits_are_named(tmp_path):
  corpus = Corpus({'train': 'absent/*.jsonl'}, root=str(tmp_path), name='mine')
  with pytest.raises(UserError, match=r'absent/\*.jsonl'):
    corpus.pieces('train')
  with pytest.raises(UserError, match="'mine' has no split 'trains', only train. Did you mean 'train'"):
    corpus.pieces('trains')
  (tmp_path / 'absent' / 'folder.jsonl').mkdir(parents=True)
  with pytest.raises(UserError, match='only folders'):
    corpus.pieces('train')


# Identity.


@dataclasses.dataclass(frozen=True)
class Shorter:
  """Keeps short texts."""

  length: int = 5
  name = 'shorter'

  def reason(self, record):
    return None if len(record.text) < self.length else 'long'


@pytest.fixture
def corpus(tmp_path):
  for name in ('a', 'b'):
    write_lines(tmp_path / f'data/part/{name}.jsonl', [{'text': f'{name} {number}'} for number in range(9)])
  return Corpus({'train': 'part/*.jsonl'}, root=str(tmp_path / 'data'), name='mine')


def test_identity_is_plain_and_follows_each_setting(corpus):
  variants = [
    corpus,
    dataclasses.replace(corpus, layout=Text('text', constants={'language': 'en'})),
    dataclasses.replace(corpus, reader=JsonLines(max_line_bytes=9)),
    dataclasses.replace(corpus, filters=(Shorter(),)),
    dataclasses.replace(corpus, filters=(Shorter(6),)),
    dataclasses.replace(corpus, filters=(MaxFloats(), Shorter())),
    dataclasses.replace(corpus, filters=(Shorter(), MaxFloats())),
    dataclasses.replace(corpus, validation_share=0.1),
    dataclasses.replace(corpus, name='other'),
  ]
  told = [json.dumps(variant.identity('train')) for variant in variants]
  assert len(set(told)) == len(variants)


def test_identity_follows_the_files_and_not_where_they_lie(corpus, tmp_path):
  first = corpus.identity('train')
  assert list(first['files']) == ['a.jsonl', 'b.jsonl']
  shutil.copytree(tmp_path / 'data', tmp_path / 'moved')
  moved = dataclasses.replace(corpus, root=str(tmp_path / 'moved'))
  assert moved.identity('train') == first
  write_lines(tmp_path / 'moved/part/a.jsonl', [{'text': 'another'}])
  assert moved.identity('train') != first
  write_lines(tmp_path / 'data/part/c.jsonl', [])
  assert corpus.identity('train') != first


def test_files_in_several_places_keep_names_that_differ(corpus, tmp_path):
  import fsspec

  with fsspec.open('memory://bucket-of-identity/part/a.jsonl', 'wb') as file:
    file.write(b'')
  remote = dataclasses.replace(corpus, files={'train': '*/a.jsonl'}, root='memory://bucket-of-identity')
  assert list(remote.identity('train')['files']) == ['a.jsonl']
  both = Corpus({'train': ['memory://bucket-of-identity/part/a.jsonl', f'{tmp_path}/data/part/a.jsonl']})
  assert len(both.identity('train')['files']) == 2


def test_an_argument_that_cannot_be_kept_is_refused(corpus):
  @dataclasses.dataclass(frozen=True)
  class Odd:
    what: object
    name = 'odd'

  with pytest.raises(UserError, match='Odd.what'):
    dataclasses.replace(corpus, filters=(Odd(object()),)).identity('train')


def test_all_sorts_of_trouble_in_one_corpus(shared_data, tmp_path):
  told = gzip_lines(shared_data / 'corpora/text/c4/train.jsonl.gz')
  lines = [json.dumps(record).encode() for record in told]
  for number in range(0, len(lines), 100):
    lines[number] = [lines[number][:-5], b'\xff' + lines[number], b'{"text": "a\0b"}', b'{"texts": 1}', b'[]'][number // 100 % 5]
  path = write_bytes(tmp_path / 'a.jsonl.zst', b'\n'.join(lines))
  corpus = Corpus({'train': path})
  items = list(corpus.records(Piece(path), 'train'))
  assert len(items) == len(told)
  assert [item.text for item in items if isinstance(item, Record)] == [
    record['text'] for number, record in enumerate(told) if number % 100
  ]
  assert set(reasons(items)) == {f'a.jsonl.zst:{number + 1}' for number in range(0, len(told), 100)}
