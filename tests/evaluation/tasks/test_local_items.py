"""Questions of the local corpora come from held-out documents, have one right choice, and do not change."""

from __future__ import annotations

import ast
import dataclasses
import json
from types import SimpleNamespace

import pytest

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.evaluation.tasks.local_items import (
  CHOICES,
  LocalSource,
  body_pairs,
  passage_pairs,
  program_items,
  with_distractors,
)

WORDS = ('alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta')


def passage(number: int, words: int = 300) -> str:
  return ' '.join(f'{WORDS[i % len(WORDS)]}{number}_{i}' for i in range(words))


def program(number: int) -> str:
  return f'''import os


class Box{number}:

    @property
    def size(
        self, unit='m') -> int:
        total = {number} + len(unit)
        return total * 2 if os.name else total

    def short(self): return {number}


def measure_{number}(path):
  if not path:
    raise ValueError('no path {number}')
  return os.path.getsize(path) + {number}
'''


def source(tmp_path, corpus, pairs, texts, train=()) -> LocalSource:
  path = tmp_path / 'validation.jsonl'
  path.write_text(''.join(json.dumps({'id': f'p:{n}.py', 'text': text}) + '\n' for n, text in enumerate(texts)))
  (tmp_path / 'train.jsonl').write_text(''.join(json.dumps({'id': 't', 'text': text}) + '\n' for text in train))
  splits = {'validation': SimpleNamespace(path=path, sha256='a' * 64), 'train': SimpleNamespace(path=tmp_path / 'train.jsonl')}
  return LocalSource(corpus, pairs, lambda: SimpleNamespace(corpora={corpus: splits}))


@pytest.mark.parametrize(
  ('corpus', 'pairs', 'make'), [('local_text', passage_pairs, passage), ('local_code', body_pairs, program)]
)
def test_each_item_continues_its_own_held_out_document(tmp_path, corpus, pairs, make):
  texts = [make(n) for n in range(8)]
  read = source(tmp_path, corpus, pairs, texts, train=[make(99)]).read(EvaluationFolder(), 'any')
  assert read.data == {f'{corpus}/validation.jsonl': 'a' * 64}
  assert len({item.id for item in read.items}) == len(read.items) >= 16
  flat = lambda text: ''.join(text.split())
  for item in read.items:
    own = int(item.id.removeprefix('p:').partition('.')[0])
    (gold,) = item.gold
    assert len(set(item.choices)) == CHOICES
    assert flat(item.prompt + item.choices[gold]) in flat(texts[own])
    for number, choice in enumerate(item.choices):
      assert (flat(choice) in flat(texts[own])) == (number == gold)
      assert any(flat(choice) in flat(text) for text in texts)
  assert {item.gold for item in read.items} == {(n,) for n in range(CHOICES)}


def test_no_question_is_made_of_words_that_are_trained_on(tmp_path):
  texts = [passage(n) for n in range(8)]
  items = source(tmp_path, 'local_text', passage_pairs, texts, train=[passage(99), texts[0].replace(' ', '\n')]).read(EvaluationFolder(), 'any').items
  assert {item.id.partition('@')[0] for item in items} == {f'p:{n}.py' for n in range(1, 8)}
  assert not any(choice in texts[0] for item in items for choice in item.choices)


def test_a_lower_limit_keeps_the_questions_of_the_lowest_digests(tmp_path):
  few, many = (dataclasses.replace(source(tmp_path, 'local_text', passage_pairs, [passage(n) for n in range(8)]), most=most) for most in (6, 12))
  ids = [[item.id for item in each.read(EvaluationFolder(), 'any').items] for each in (few, many)]
  assert [len(each) for each in ids] == [6, 12] and set(ids[0]) < set(ids[1])


def test_a_function_and_its_body_are_a_program():
  pairs = list(body_pairs('p:a.py', program(3)))
  assert [prompt.split('(')[0] for _, prompt, _ in pairs] == ['def measure_3', '@property\ndef size']
  for _, prompt, body in pairs:
    assert prompt.endswith(':') and body.startswith('\n')
    ast.parse(prompt + body)


def test_items_depend_neither_on_a_random_state_nor_on_the_order_of_the_choices():
  pairs = [pair for n in range(8) for pair in passage_pairs(f'p:{n}.py', passage(n))]
  items = with_distractors(pairs)
  assert with_distractors(pairs) == items
  assert sorted(with_distractors(pairs[::-1]), key=lambda item: item.id) == sorted(items, key=lambda item: item.id)


def test_equal_continuations_are_asked_once():
  pairs = [(f'p:{n}.py@0', f'prompt {n}', ' the same' if n < 3 else f' other {n}') for n in range(8)]
  items = with_distractors(pairs)
  assert [item.id for item in items] == ['p:0.py@0', *(f'p:{n}.py@0' for n in range(3, 8))]
  assert all(len(set(item.choices)) == CHOICES for item in items)


def test_too_few_documents_give_no_question():
  assert with_distractors([(f'p:{n}.py@0', 'prompt', f' {n}') for n in range(CHOICES - 1)]) == []


def test_programs_pass_their_tests_with_the_reference_and_with_nothing_else():
  items = program_items()
  assert len({item.id for item in items}) == len(items) == 24
  passed = lambda item, completion: _passes(item.fields['before'] + completion + '\n' + item.fields['tests'])
  for item in items:
    assert item.prompt == item.fields['before'] and passed(item, item.reference)
    assert not passed(item, '') and not passed(item, ' + 100')
    assert item.reference not in item.prompt  # no example is the function that is asked for


def _passes(source: str) -> bool:
  try:
    exec(source, {})
  except AssertionError:
    return False
  return True
