"""Evaluation sets are read as they are distributed; a mistake is one line that names the place."""

from __future__ import annotations

import gzip
import json

import pytest

from codemix.contamination.items import EvaluationSet
from codemix.contamination.layouts import KNOWN, ItemLayout
from codemix.errors import UserError

# Each file of the shared evaluation sets: its records, whether it is code, and which parts its items have.
DISTRIBUTED = {
  'humaneval/HumanEval.jsonl.gz': (164, True, {'question', 'answer'}),
  'mbpp/mbpp.jsonl': (974, True, {'question', 'answer'}),
  'nq_open/NQ-open.dev.jsonl': (3610, False, {'question', 'answer'}),
  'boolq/dev.jsonl.gz': (3270, False, {'question', 'context'}),
  'piqa/valid.jsonl': (1838, False, {'question', 'answer'}),
  'hellaswag/hellaswag_val_subset1000.jsonl.gz': (1000, False, {'question', 'answer'}),
  'winogrande/dev.jsonl': (1267, False, {'question', 'answer'}),
  'copa/val.jsonl': (100, False, {'question', 'answer'}),
  'openbookqa/test.jsonl': (500, False, {'question', 'answer'}),
  'openbookqa/dev.jsonl': (500, False, {'question', 'answer'}),
  'socialiqa/dev.jsonl': (1954, False, {'question', 'answer'}),
  'qasc/dev.jsonl': (926, False, {'question', 'answer', 'context'}),
  'arc/ARC-Easy-Dev.jsonl': (570, False, {'question', 'answer'}),
  'arc/ARC-Challenge-Test.jsonl': (1172, False, {'question', 'answer'}),
  'truthfulqa/TruthfulQA.csv': (817, False, {'question', 'answer'}),
  'dolly/dolly_subset.jsonl': (151, False, {'question', 'answer', 'context'}),
  'lambada/lambada_openai.jsonl.gz': (5153, False, {'question'}),
  'cogs/dev.tsv': (3000, False, {'question', 'answer'}),
  'gsm8k/test.jsonl': (1319, False, {'question', 'answer'}),
  'multilingual_humaneval/HumanEval_go_v1.jsonl.gz': (160, True, {'question'}),
  'cruxeval/cruxeval.jsonl': (800, True, {'question', 'answer'}),
}


@pytest.mark.parametrize('file', DISTRIBUTED)
def test_each_distributed_set_is_read_whole(file, shared_data):
  records, code, parts = DISTRIBUTED[file]
  read = EvaluationSet('set', str(shared_data / 'eval' / file)).read()
  assert (len(read.items), read.code) == (records, code)
  assert {part for item in read.items for part, _ in item.passages} == parts
  assert len({item.id for item in read.items}) == records
  assert all(text.strip() for item in read.items[:20] for part, text in item.passages if part == 'question')


def write(path, *rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return str(path)


def texts(read):
  return [[text for _, text in item.passages] for item in read.items]


def test_fields_are_paths_lists_and_templates(tmp_path):
  row = {'q': {'a': 'one', 'b': ['two', {'c': 'three'}]}, 'n': 4}
  layout = ItemLayout(('q.a', '{q.a} {n}', 'q.b.c'), ('q.b',), id='n')
  read = EvaluationSet('set', write(tmp_path / 'set.jsonl', row), layout).read()
  assert texts(read) == [['one', 'one 4', 'three', 'two']]
  assert read.items[0].id == '4'


def test_a_blank_ends_a_passage(tmp_path):
  row = {'sentence': 'the cup fell because _ was full', 'option1': 'it', 'option2': 'he'}
  read = EvaluationSet('set', write(tmp_path / 'set.jsonl', row)).read()
  assert texts(read)[0][:2] == ['the cup fell because ', ' was full']


def test_plain_compressed_and_array_files_are_the_same_items(tmp_path):
  rows = [{'question': f'q{i}', 'answer': 'a'} for i in range(3)]
  plain = write(tmp_path / 'a.jsonl', *rows)
  (tmp_path / 'b.jsonl.gz').write_bytes(gzip.compress((tmp_path / 'a.jsonl').read_bytes()))
  (tmp_path / 'c.json').write_text(json.dumps(rows))
  files = [plain, str(tmp_path / 'b.jsonl.gz'), str(tmp_path / 'c.json')]
  assert len({tuple(map(tuple, texts(EvaluationSet('set', file).read()))) for file in files}) == 1
  assert len(EvaluationSet('set', tuple(files)).read().items) == 9


def test_every_layout_says_what_is_asked():
  assert all(layout.question for layout in KNOWN.values())


@pytest.mark.parametrize(
  ('contents', 'layout', 'says'),
  [
    ('{"x": 1}\n', None, 'set.jsonl:1 has the fields x'),
    ('{"question": "q", "answer": "a"}\n{"question"\n', None, 'set.jsonl:2 is no JSON'),
    ('["q"]\n', None, 'set.jsonl:1 is no JSON object, but list'),
    ('', None, 'is empty'),
    ('{"question": "q"}\n{"a": 1}\n', ItemLayout(('question',)), 'set.jsonl:2 has none of the fields question'),
    ('{"question": "q"}\n', ItemLayout(('question',), id='name'), "has no field 'name'"),
  ],
)
def test_a_set_that_cannot_be_read_says_where(contents, layout, says, tmp_path):
  (tmp_path / 'set.jsonl').write_text(contents)
  with pytest.raises(UserError) as caught:
    EvaluationSet('quiz', str(tmp_path / 'set.jsonl'), layout).read()
  assert says in str(caught.value) and '\n' not in str(caught.value)


def test_a_damaged_file_and_an_unknown_layout_are_refused(tmp_path):
  (tmp_path / 'set.jsonl.gz').write_bytes(gzip.compress(b'{"question": "q", "answer": "a"}\n' * 99)[:-20])
  with pytest.raises(UserError, match='is damaged'):
    EvaluationSet('quiz', str(tmp_path / 'set.jsonl.gz')).read()
  with pytest.raises(UserError, match="Did you mean 'gsm8k'"):
    EvaluationSet('quiz', 'set.jsonl', 'gsm8')
  with pytest.raises(UserError, match='matches no|no file|does not exist|nothing'):
    EvaluationSet('quiz', str(tmp_path / 'absent.jsonl')).read()
