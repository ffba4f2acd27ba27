"""Measures of free answers, as the sets' own scripts define them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.evaluation.tasks import answers
from codemix.evaluation.tasks.item import Item


def item(*accepted: str) -> Item:
  return Item('0', 'q', answers=accepted)


@pytest.mark.parametrize(
  ('said', 'accepted', 'right'),
  [
    (' The Eiffel Tower.', ('Eiffel Tower',), 1),
    ('eiffel-tower', ('Eiffel Tower',), 0),  # SQuAD joins what punctuation divides
    ('an  apple', ('Apple', 'pear'), 1),
    ('apples', ('Apple', 'pear'), 0),
    ('', ('Apple',), 0),
    ('Theodore', ('odore',), 0),
  ],
)
def test_exact_match_is_squads(said, accepted, right):
  assert answers.exact_match(said, item(*accepted)) == right


@pytest.mark.parametrize(
  ('said', 'accepted', 'right'),
  [('eiffel-tower', ('Eiffel Tower',), 1), ('The_Wall!', ('wall',), 1), ('rock ’n’ roll', ("Rock 'n' Roll",), 1), ('rolls', ('roll',), 0)],
)
def test_triviaqa_makes_spaces_of_punctuation(said, accepted, right):
  assert answers.trivia_match(said, item(*accepted)) == right


@pytest.mark.parametrize(
  ('said', 'accepted', 'f1'),
  [
    ('the grey box', ('grey box',), 1.0),
    ('a grey', ('grey box',), 2 / 3),
    ('red', ('grey box',), 0.0),
    ('CANNOTANSWER', ('CANNOTANSWER', 'grey'), 1.0),  # half of the answers say that there is none
    ('grey', ('CANNOTANSWER', 'grey'), 0.0),
    ('grey', ('grey', 'grey box', 'CANNOTANSWER'), (2 / 3 + 1) / 2),  # leaves one out in turn
  ],
)
def test_f1_is_quacs(said, accepted, f1):
  assert answers.quac_f1(said, item(*accepted)) == pytest.approx(f1)


@pytest.mark.parametrize(
  ('said', 'strict', 'last'),
  [
    ('5 + 5 = 10\n#### 1,010', 1, 1),
    ('It is $1,010.00.', 0, 1),
    ('#### 1011', 0, 0),
    ('1010 boxes, of which 3', 0, 0),
    ('none', 0, 0),
    ('####', 0, 0),
    ('-1010', 0, 0),
    ('of 1 to 9-1010', 0, 1),  # the dash between two numbers is no sign
  ],
)
def test_numbers_are_compared_as_numbers(said, strict, last):
  asked = item('1010')
  assert (answers.strict_number(said, asked), answers.last_number(said, asked)) == (strict, last)


@given(st.text(), st.text())
def test_measures_are_shares_and_right_answers_score_one(said, right):
  asked = item(right, right)
  for measure in (answers.exact_match, answers.trivia_match, answers.same_text, answers.quac_f1, answers.last_number, answers.strict_number):
    assert 0 <= measure(said, asked) <= 1
  for measure in (answers.exact_match, answers.trivia_match, answers.same_text, answers.quac_f1):
    assert measure(right, asked) == 1
