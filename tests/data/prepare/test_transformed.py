"""`prepare` of a corpus with transformations: accounts, identity, and the same bytes on any workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemix.data.corpus.corpus import Corpus
from codemix.data.filters import ExactDuplicates, HexLiterals, Size
from codemix.data.prepare.pipeline import corpus_identity
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.data.transformations import RemoveComments, RenameIdentifiers, ShuffleLines
from codemix.errors import UserError
from codemix.identity import digest
from codemix.workers import Beam, Processes
from tests.data.raw_corpora import (
  corpus,
  data,
  documents,
  files_of,
  in_python,
  prepared,
  write_lines,
)

PROGRAMS = ['x = 1  # one\n', '# two\ndef f():\n  """Three."""\n', 'y = 0x1f\n', 'def f(:\n', 'z = "long"  # ' + 'x' * 60, 'x = 1  # one\n']


def programs(folder: Path, **settings) -> Corpus:
  write_lines(folder, [in_python(*PROGRAMS[:2]), in_python(*PROGRAMS[2:])])
  return corpus(folder, filters=(HexLiterals(), ExactDuplicates()), max_bad_share=1, **settings)


def test_accounts_follow_a_text_through_its_transformations(tmp_path):
  parts = (RemoveComments(), RenameIdentifiers())
  store = prepared(data(tmp_path, programs(tmp_path / 'raw', transformations=parts)))
  hexadecimal, comments, names, duplicates = store.manifest['accounts']['filters']
  assert documents(store) == ['v0 = 1\n', 'def v0():\n  pass\n', 'v0 = "long"\n']
  size = lambda *texts: {'documents': len(texts), 'bytes': sum(map(len, texts)), 'tokens': None}
  kept = [PROGRAMS[index] for index in (0, 1, 4, 5)]
  bare = ['x = 1\n', 'def f():\n  pass\n', 'z = "long"\n', 'x = 1\n']
  assert [line['name'] for line in (comments, names)] == [part.name for part in parts]
  assert hexadecimal['before'] == size(*PROGRAMS) and hexadecimal['after'] == size(*kept, PROGRAMS[3]) == comments['before']
  assert comments['dropped'] == {'does not parse': {'documents': 1, 'bytes': len(PROGRAMS[3]), 'tokens': len(PROGRAMS[3]) + 1}}
  assert comments['after'] == size(*bare) == names['before']
  assert {**names['after'], 'tokens': None} == size(*documents(store), 'v0 = 1\n')
  assert duplicates['before'] == names['after'] and duplicates['after'] == store.manifest['accounts']['kept']


@pytest.mark.parametrize('workers', [Processes(2), Beam()], ids=['processes', 'beam'])
def test_transformed_documents_are_the_same_bytes_on_any_workers(tmp_path, workers):
  parts = (RenameIdentifiers('own'), ShuffleLines(seed=3))
  source = programs(tmp_path / 'raw', transformations=parts)
  alone = prepared(data(tmp_path / 'alone', source, shards=2))
  spread = prepared(data(tmp_path / 'spread', source, shards=2, workers=workers))
  assert files_of(spread.folder) == files_of(alone.folder)


def test_another_transformation_or_version_is_another_store_and_none_is_the_store_from_before(tmp_path, monkeypatch):
  tokenizer = load_tokenizer('bytes')
  name = lambda **settings: digest(corpus_identity('lines', programs(tmp_path / 'raw', **settings), 'train', tokenizer, 2))
  plain, shuffled = name(), name(transformations=(ShuffleLines(),))
  assert 'transformations' not in corpus_identity('lines', programs(tmp_path / 'raw'), 'train', tokenizer, 2)['corpus']
  assert len({plain, shuffled, name(transformations=(ShuffleLines(seed=1),)), name(transformations=(RemoveComments(),))}) == 4
  monkeypatch.setattr(ShuffleLines, 'version', 2)
  assert name(transformations=(ShuffleLines(),)) not in (plain, shuffled)


def test_a_store_of_other_transformations_is_refused(tmp_path):
  prepared(data(tmp_path, programs(tmp_path / 'raw', transformations=(ShuffleLines(),))))
  now = data(tmp_path, programs(tmp_path / 'raw', transformations=(ShuffleLines(seed=9),)))
  with pytest.raises(UserError, match=r'other settings of its Corpus: transformations.*seed.*9'):
    now.open_store('lines', 'train', load_tokenizer('bytes'))


def test_a_language_that_a_transformation_does_not_know_is_found_before_anything_is_written(tmp_path):
  source = corpus(tmp_path / 'raw', transformations=(RemoveComments(),), filters=(Size(min_bytes=3),))
  write_lines(tmp_path / 'raw', [in_python('x = 1'), ['x'], ['some texts']])
  with pytest.raises(UserError, match=r"RemoveComments knows python, and the document 'part-2.jsonl:1'"):
    prepared(data(tmp_path, source))
  assert not (tmp_path / 'stores').exists()


def test_a_language_that_comes_late_ends_prepare_with_the_same_error(tmp_path):
  write_lines(tmp_path / 'raw', [in_python(*['x = 1'] * 200), ['some texts']])
  with pytest.raises(UserError, match=r"RemoveComments knows python, and the document 'part-1.jsonl:1'"):
    prepared(data(tmp_path, corpus(tmp_path / 'raw', transformations=(RemoveComments(),)), workers=2, shards=2))
