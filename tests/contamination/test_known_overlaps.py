"""Overlaps that real files are known to have show, and files that have none show none."""

from __future__ import annotations

import gzip
import json

import pytest

from codemix.contamination.check import check
from codemix.contamination.items import EvaluationSet
from tests.contamination import corpus

EVAL = {
  'humaneval': 'humaneval/HumanEval.jsonl.gz',
  'mbpp': 'mbpp/mbpp.jsonl',
  'cruxeval': 'cruxeval/cruxeval.jsonl',
  'gsm8k': 'gsm8k/test.jsonl',
  'boolq': 'boolq/dev.jsonl.gz',
  'lambada': 'lambada/lambada_openai.jsonl.gz',
  'arc': 'arc/ARC-Challenge-Test.jsonl',
}
CORPORA = {
  'mbxp': ('verified_code/mbxp/mbpp_release_v1.jsonl.gz', '{prompt}{canonical_solution}'),
  'mbjsp': ('verified_code/mbxp/mbjsp_release_v1.2.jsonl.gz', '{prompt}{canonical_solution}'),
  'socratic': ('math/gsm8k/test_socratic.jsonl.gz', '{question}\n{answer}'),
  'cruxeval_text': ('verified_code/cruxeval_text/cruxeval_text.jsonl.gz', '{text}'),
  'mathqa': ('verified_code/mathqa_python/mathqa-test-python_v1.jsonl.gz', '{prompt}{canonical_solution}'),
  'novels': ('text/english_novels/novels-00002-of-00003.jsonl.gz', '{text}'),
  'peps': ('markup/python_peps/peps.jsonl.gz', '{text}'),
}
DOCUMENTS = 2000  # of each corpus, at most
CHARACTERS = 2_500_000


@pytest.fixture(scope='module')
def result(shared_data, tmp_path_factory) -> dict:
  """All sets against all corpora, each corpus a source, in one pass."""
  root = tmp_path_factory.mktemp('overlaps')
  sources = [corpus.source(root, name, documents(shared_data, *where), length=1024) for name, where in CORPORA.items()]
  sets = [EvaluationSet(name, str(shared_data / 'eval' / file)).read() for name, file in EVAL.items()]
  return check(sets, {s.name: s for s in sources}, [corpus.whole(sources)], corpus.TOKENIZER, root)


def documents(shared_data, file, form):
  texts, size = [], 0
  with gzip.open(shared_data / 'corpora' / file, 'rt') as lines:
    for line in lines:
      texts.append(form.format(**{key: value or '' for key, value in json.loads(line).items()}))
      size += len(texts[-1])
      if len(texts) == DOCUMENTS or size > CHARACTERS:
        break
  return texts


def counts(result, name, source):
  described = next(s for s in result['sets'] if s['set'] == name)
  found = [c for c in described['counts'] if c['source'] == source and c['rows'] == 'of the stage']
  return (found[0]['touched'], found[0]['contaminated'], described['items']) if found else (0, 0, described['items'])


@pytest.mark.parametrize(
  ('name', 'source', 'least'),
  [('mbpp', 'mbxp', 0.95), ('mbpp', 'mbjsp', 0.9), ('gsm8k', 'socratic', 0.95), ('cruxeval', 'cruxeval_text', 0.95)],
)
def test_what_repeats_a_set_contaminates_nearly_all_of_it(result, name, source, least):
  _, contaminated, items = counts(result, name, source)
  assert contaminated >= least * items


CLEAN = [(name, source) for name in EVAL for source in ('novels', 'peps', 'mathqa')] + [
  ('humaneval', 'socratic'),
  ('boolq', 'mbxp'),
  ('arc', 'cruxeval_text'),
]


@pytest.mark.parametrize(('name', 'source'), CLEAN)
def test_what_has_nothing_to_do_with_a_set_contaminates_none_of_it(result, name, source):
  touched, contaminated, items = counts(result, name, source)
  assert contaminated == 0
  assert touched <= 0.005 * items
