"""What a source is, is declared: by its corpus, or by `Data.kinds`."""

from __future__ import annotations

import dataclasses

from codemix.data.corpus.by_language import corpora_by_language
from codemix.data.corpus.corpus import Corpus
from codemix.data.settings import Data


def test_the_kind_of_a_source_is_that_of_its_corpus_or_of_data_kinds(tmp_path):
  corpora = {'wiki': Corpus({'train': 'a'}, kind='text'), 'forum': Corpus({'train': 'b'}, kind='text'), 'other': Corpus({'train': 'c'})}
  data = Data(str(tmp_path), sources=corpora, kinds={'forum': 'dialogue', 'task': 'code'})
  kinds = {name: data.kind(name) for name in ('wiki', 'forum', 'task', 'other', 'code', 'local_text', 'local_code')}
  assert kinds == {'wiki': 'text', 'forum': 'dialogue', 'task': 'code', 'other': None, 'code': None, 'local_text': 'text', 'local_code': 'code'}


def test_corpora_by_language_are_of_the_kind_of_their_pattern():
  corpora = corpora_by_language(Corpus({'train': '{language}/*'}, kind='code'), 'markup')
  assert {corpus.kind for corpus in corpora.values()} == {'code'}


def test_a_kind_is_no_part_of_what_is_prepared(tmp_path):
  (tmp_path / 'a.jsonl').write_text('{"text": "a"}\n')
  corpus = Corpus({'train': 'a.jsonl'}, root=str(tmp_path))
  declared = dataclasses.replace(corpus, kind='code')
  assert declared.identity('train') == corpus.identity('train')
  assert not declared.changed_since(corpus.identity('train'))
