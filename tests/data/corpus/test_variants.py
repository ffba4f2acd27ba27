"""Variants of a corpus differ in what their kinds add, and in nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from codemix.data.corpus.variants import variants
from codemix.data.filters import ExactDuplicates, Size
from codemix.data.filters.parses import Parses
from codemix.data.raw.record import Record
from codemix.data.transformations import OnlyComments, RemoveComments, ShuffleLines
from codemix.errors import UserError
from tests.data.raw_corpora import corpus, in_python, texts, write_lines

KINDS = {'code': (), 'shuffled': (ShuffleLines(seed=5),), 'parsing': (Parses(), RemoveComments(), ShuffleLines())}


def test_filters_and_transformations_come_where_they_belong(tmp_path):
  base = corpus(tmp_path, filters=(Size(min_bytes=3), ExactDuplicates()))
  made = variants(base, KINDS)
  assert list(made) == list(KINDS) and made['code'] == base
  assert made['shuffled'] == dataclasses.replace(base, transformations=(ShuffleLines(seed=5),))
  assert made['parsing'].filters == (Size(min_bytes=3), Parses(), ExactDuplicates())
  assert made['parsing'].transformations == (RemoveComments(), ShuffleLines())


def test_variants_hold_out_the_same_documents(tmp_path):
  write_lines(tmp_path, [texts(200)])
  made = variants(corpus(tmp_path, validation_share=0.3), {'code': (), 'shuffled': (ShuffleLines(),)})
  for split in ('train', 'validation'):
    plain, shuffled = (list(made[name].kept(split)) for name in ('code', 'shuffled'))
    assert len(plain) > 30 and plain != shuffled
    assert [sorted(record.text) for record in plain] == [sorted(record.text) for record in shuffled]


def test_what_is_neither_filter_nor_transformation_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'variants\.kinds'):
    variants(corpus(tmp_path), {'code': ('shuffle_lines',)})
  with pytest.raises(UserError, match=r'Corpus\.transformations'):
    corpus(tmp_path, transformations=(Size(),))
  with pytest.raises(UserError, match=r'Corpus\.filters'):
    corpus(tmp_path, filters=(ShuffleLines(),))


def test_transformations_apply_in_turn_and_duplicates_are_those_of_what_comes_out(tmp_path):
  write_lines(tmp_path, [in_python('x = 1  # one', 'y = 1  # one', 'x = 1  # one', '# one', 'def f(:')])
  source = corpus(tmp_path, filters=(ExactDuplicates(),), transformations=(OnlyComments(), ShuffleLines()))
  assert [record.text for record in source.kept('train')] == ['# one\n']
  outcomes = list(source.outcomes('train', *source.pieces('train')))
  assert [isinstance(each, Record) for each in outcomes] == [True] * 4 + [False]
  assert (outcomes[4].filter, outcomes[4].reason, outcomes[4].record.text) == (0, 'does not parse', 'def f(:')
