"""Parse rates of real Python before and after each transformation: the same program parses, a shuffled one does not."""

from __future__ import annotations

import collections
import dataclasses
import itertools

import pytest

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.outcomes import Dropped
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.filters.parses import Parses
from codemix.data.filters.runs import Runs
from codemix.data.python_source.parses import parses
from codemix.data.raw.record import Record
from codemix.data.transformations import (
  NormalizeIndentation,
  OnlyComments,
  RemoveComments,
  RenameIdentifiers,
  ShuffleLines,
  ShuffleTokens,
)

PYTHON = Text(constants={'language': 'python'})
CORPORA = {
  'cruxeval': Corpus({'train': 'verified_code/cruxeval_text/cruxeval_text.jsonl.gz'}, layout=PYTHON),
  'puzzles': Corpus({'train': 'verified_code/p3_puzzles/puzzles_text.jsonl.gz'}, layout=PYTHON),
  'hearthstone': Corpus({'train': 'code/card2code/hearthstone.jsonl.gz'}, layout=PYTHON),
  # Functions of many repositories, some in Python 2.
  'cosqa': Corpus({'train': 'code/cosqa/cosqa-dev.json'}, reader=JsonArray(), layout=Template('{code}', language='python')),
}
# Documents, and how many of them parse as they are written.
SIZES = {'cruxeval': (800, 800), 'puzzles': (1696, 1696), 'hearthstone': (665, 664), 'cosqa': (604, 600)}
# How many have comments or docstrings.
WITH_COMMENTS = {'cruxeval': 6, 'puzzles': 1696, 'hearthstone': 0, 'cosqa': 600}
SAME_PROGRAM = [RemoveComments(), NormalizeIndentation(), RenameIdentifiers(), RenameIdentifiers('own')]


@dataclasses.dataclass(frozen=True)
class Outcomes:
  """Of one corpus: the documents that come out, and how many were dropped for which reason."""

  kept: list[Record]
  dropped: dict[str, int]

  @property
  def parsing(self) -> int:
    return sum(parses(record.text) for record in self.kept)


@pytest.fixture(params=CORPORA)
def name(request) -> str:
  return request.param


@pytest.fixture
def outcomes(name, shared_data):
  """The outcomes of the corpus with some settings."""

  def of(**settings) -> Outcomes:
    corpus = dataclasses.replace(CORPORA[name], root=str(shared_data / 'corpora'), **settings)
    found = [outcome for piece in corpus.pieces('train') for outcome in corpus.outcomes('train', piece)]
    dropped = collections.Counter(outcome.reason for outcome in found if isinstance(outcome, Dropped))
    return Outcomes([outcome for outcome in found if isinstance(outcome, Record)], dict(dropped))

  return of


def test_the_filter_keeps_what_parses(name, outcomes):
  documents, parsing = SIZES[name]
  before, after = outcomes(), outcomes(filters=(Parses(),))
  assert (len(before.kept), before.parsing) == (documents, parsing)
  assert len(after.kept) == after.parsing == parsing
  assert sum(after.dropped.values()) == documents - parsing


@pytest.mark.parametrize('transformation', SAME_PROGRAM, ids=lambda each: each.name)
def test_what_parsed_parses_after_what_keeps_the_program(name, outcomes, transformation):
  documents, parsing = SIZES[name]
  after = outcomes(transformations=(transformation,))
  assert len(after.kept) == after.parsing == parsing
  assert sum(after.dropped.values()) == after.dropped.get('does not parse', 0) == documents - parsing


def test_next_to_nothing_parses_when_it_is_shuffled(name, outcomes):
  documents, parsing = SIZES[name]
  lines, tokens = (outcomes(transformations=(each,)) for each in (ShuffleLines(), ShuffleTokens()))
  assert len(lines.kept) == documents and lines.parsing < 0.1 * documents
  assert len(tokens.kept) == parsing and tokens.parsing < 0.01 * documents
  assert sum(len(record.text) for record in lines.kept) == sum(len(record.text) for record in outcomes().kept)


def test_comments_alone_come_from_the_documents_that_have_some(name, outcomes):
  documents, parsing = SIZES[name]
  after = outcomes(transformations=(OnlyComments(),))
  assert len(after.kept) == after.parsing == WITH_COMMENTS[name]
  assert after.dropped.get('does not parse', 0) == documents - parsing


@pytest.mark.usefixtures('sandbox')
def test_functions_with_their_checks_run_and_shuffled_ones_do_not(shared_data):
  corpus = dataclasses.replace(CORPORA['cruxeval'], root=str(shared_data / 'corpora'))
  written = list(itertools.islice(corpus.kept('train'), 12))
  assert Runs().reasons(written) == [None] * len(written)
  shuffled = itertools.islice(dataclasses.replace(corpus, transformations=(ShuffleTokens(),)).kept('train'), 12)
  assert None not in Runs().reasons(list(shuffled))
