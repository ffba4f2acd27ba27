"""What becomes of each record, in order, for all that read a corpus."""

from __future__ import annotations

import dataclasses

import pytest

from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.outcomes import Dropped
from codemix.data.filters import ExactDuplicates, Size
from codemix.data.raw.protocols import Piece
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError
from tests.data.raw_corpora import corpus, write_lines


@dataclasses.dataclass(frozen=True)
class SizeOfSeveral(Size):
  """A filter that judges several records together."""

  def reasons(self, records: list[Record]) -> list[str | None]:
    assert records
    return [self.reason(record) for record in records]


def shown(outcome) -> tuple:
  match outcome:
    case BadRecord():
      return 'bad', outcome.reason
    case Dropped():
      return 'dropped', outcome.record.text, outcome.filter
    case Record():
      return 'kept', outcome.text


@pytest.mark.parametrize('size', [Size, SizeOfSeveral])
def test_outcomes_come_in_the_order_of_the_records(tmp_path, size):
  write_lines(tmp_path, [['first', 'x', b'{', '', 'second', 'first', 'y' * 100]])
  source = corpus(tmp_path, filters=(size(min_bytes=3), size(max_bytes=50), ExactDuplicates()), max_bad_share=1)
  assert [shown(outcome) for outcome in source.outcomes('train', Piece(f'{tmp_path}/part-0.jsonl'))] == [
    ('kept', 'first'), ('dropped', 'x', 0), ('bad', 'not JSON'), ('dropped', '', None), ('kept', 'second'),
    ('kept', 'first'), ('dropped', 'y' * 100, 1),
  ]  # fmt: skip
  assert [record.text for record in source.kept('train')] == ['first', 'second']


def test_a_sample_ends_with_the_record_that_reaches_its_size_and_keeps_duplicates(tmp_path):
  write_lines(tmp_path, [['abc', 'abc', 'def', 'ghi']])
  source = corpus(tmp_path, filters=(ExactDuplicates(),))
  assert [record.text for record in source.kept('train', sample_bytes=7)] == ['abc', 'abc', 'def']
  assert [record.text for record in source.kept('train', sample_bytes=99)] == ['abc', 'abc', 'def', 'ghi']


def test_only_the_documents_of_train_are_divided(tmp_path):
  write_lines(tmp_path, [[str(n) for n in range(50)], [str(n) for n in range(50, 60)]])
  files = {'train': f'{tmp_path}/part-0.jsonl', 'test': f'{tmp_path}/part-1.jsonl'}
  source = Corpus(files, validation_share=0.5)
  assert [record.text for record in source.kept('test')] == [str(n) for n in range(50, 60)]
  assert 0 < len(list(source.kept('train'))) < 50


@pytest.mark.parametrize(('bad', 'too_many'), [(40, False), (60, True)])
def test_a_part_is_judged_as_if_whole_records_followed(bad, too_many):
  read = BadShare()
  for n in range(500):
    read.add(BadRecord(f'a:{n}', 'not JSON') if n < bad else Record('a'))
  source = Corpus({'train': 'a'}, name='lines')
  with pytest.raises(UserError, match='of 500 records are broken'):
    read.check(source, unread=0)
  if too_many:
    with pytest.raises(UserError, match='60 of 500 records read so far are broken'):
      read.check(source)
  else:
    read.check(source)
