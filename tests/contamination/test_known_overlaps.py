"""Overlaps that real files are known to have show, and files that have none show none."""

from __future__ import annotations

import builtins
import gzip
import json
import keyword
import re

import numpy as np
import pytest

from codemix.contamination.index import build_index
from codemix.contamination.items import EvaluationSet
from codemix.contamination.normalise import characters
from codemix.contamination.readings import CodeWindows, WordWindows
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
  return corpus.checked(root, sets, sources, [corpus.whole(sources)])


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
  # MBXP in JavaScript has MBPP's descriptions in its comments, and code of its own.
  [('mbpp', 'mbxp', 0.95), ('mbpp', 'mbjsp', 0.6), ('gsm8k', 'socratic', 0.95), ('cruxeval', 'cruxeval_text', 0.95)],
)
def test_what_repeats_a_set_contaminates_it(result, name, source, least):
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


def test_solutions_with_every_name_changed_are_found_by_the_code_reading_alone(shared_data):
  read = EvaluationSet('mbpp', str(shared_data / 'eval' / EVAL['mbpp'])).read()
  programs = [text for item in read.items for part, text in item.passages if part == 'answer']
  shares = {}
  for reading in (WordWindows(), CodeWindows()):
    index, passages = build_index(reading, programs)
    hit = np.zeros(len(index.keys), bool)
    for program in programs:
      hit[index.find(reading.units(characters(renamed(program).encode())))[0]] = True
    checked = passages.counts() > 0
    shares[reading.name] = (passages.found(hit) / np.maximum(passages.counts(), 1))[checked]
  assert (shares['code'] >= 0.8).mean() >= 0.9
  assert (shares['words'] >= 0.8).mean() <= 0.1


def renamed(program: str) -> str:
  """The program with each of its own names replaced, and those of the language and its built-ins kept."""
  names: dict[str, str] = {}
  fixed = {*keyword.kwlist, *dir(builtins)}
  return re.sub(
    r'(?<![\w\'".])[A-Za-z_]\w*',
    lambda found: found[0] if found[0] in fixed else names.setdefault(found[0], f'renamed{len(names)}'),
    program,
  )
