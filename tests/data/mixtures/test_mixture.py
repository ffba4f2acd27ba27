import ast
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.data.mixtures.mixture import parse_mixture
from codemix.errors import UserError

weights = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@st.composite
def nested(draw, depth=2):
  parts = draw(weights)
  spec = {}
  for i, part in enumerate(parts):
    weight = f'{part}/{sum(parts)}'
    if depth and draw(st.booleans()):
      spec[f'group{depth}_{i}'] = (weight, draw(nested(depth=depth - 1)))
    else:
      spec[f'source{depth}_{i}'] = weight
  return spec


@given(nested())
def test_shares_of_any_nested_mixture_sum_to_exactly_one(spec):
  assert sum(parse_mixture(spec).shares().values()) == 1


def test_a_nested_share_is_the_product_of_the_weights_above_it():
  mixture = parse_mixture({'text': 0.9, 'code': (0.1, {'web': 0.8, 'markup': 0.2})})
  assert mixture.shares() == {'text': Fraction(9, 10), 'web': Fraction(2, 25), 'markup': Fraction(1, 50)}


def test_a_source_in_two_groups_is_summed():
  mixture = parse_mixture({'a': (0.5, {'x': 0.4, 'y': 0.6}), 'b': (0.5, 'x')})
  assert mixture.shares() == {'x': Fraction(7, 10), 'y': Fraction(3, 10)}


def test_decimals_are_exact():
  assert sum(parse_mixture({'a': 0.1, 'b': 0.2, 'c': 0.7}).shares().values()) == 1


@pytest.mark.parametrize(
  ('spec', 'says'),
  [
    ({}, 'names no source'),
    ({'a': 0.5, 'b': 0.6}, 'sum to 1.1, not 1'),
    ({'a': -0.5, 'b': 1.5}, 'lies from 0 to 1'),
    ({'a': float('nan')}, 'write a number'),
    ({'a': float('inf')}, 'write a number'),
    ({'a': 'half'}, 'write a number'),
    ({'a': True}, 'write a number'),
    ({'a': '1/0'}, 'write a number'),
    ({'a': (1.0, {})}, 'names no source'),
    ({'a': (1.0,)}, 'wants (weight, parts)'),
    ({3: 1.0}, 'is not the name'),
    ([0.5, 0.5], 'names no source'),
    ({'a': 0.0}, 'sum to 0, not 1'),
  ],
)
def test_weights_that_make_no_sense_are_refused_with_the_fix(spec, says):
  with pytest.raises(UserError, match='.*') as refused:
    parse_mixture(spec)
  assert says in str(refused.value)
  assert '\n' not in str(refused.value)


def pasted(refusal: str) -> dict:
  """The mixture that a message suggests, as whoever pastes it into a gin file has it."""
  return ast.literal_eval(refusal.partition('In the same ratio: ')[2].removesuffix('.'))


def test_six_sixths_as_floats_are_told_as_fractions():
  with pytest.raises(UserError) as refused:
    parse_mixture(dict.fromkeys('abcdef', 1 / 6))
  assert 'sum to 4e-17 less than 1' in str(refused.value)
  assert pasted(str(refused.value)) == dict.fromkeys('abcdef', '1/6')


@given(st.dictionaries(st.sampled_from('abcdefghij'), st.floats(1e-6, 1e6) | st.integers(1, 100), min_size=1))
def test_the_weights_that_a_message_suggests_are_accepted_when_pasted(weights):
  try:
    parse_mixture(weights)
  except UserError as refused:
    said = str(refused)
    assert not re.search(r'sum to 1(\.0*)?, not 1', said)
    shares = parse_mixture(pasted(said)).shares()
    total = sum(map(exact_of, weights.values()))
    assert all(shares[name] == pytest.approx(float(exact_of(weight) / total), rel=1e-4) for name, weight in weights.items())


def exact_of(weight: float) -> Fraction:
  return Fraction(str(weight))


@pytest.mark.parametrize('weight', ['25%', '1e99999999', 10**400, '0x1', 'half', None, True, float('nan'), float('inf'), [1], b'1', ''])
def test_a_weight_that_is_not_a_number_is_refused_at_once(weight):
  with pytest.raises(UserError) as refused:
    parse_mixture({'a': weight})
  assert "the weight of 'a' is " in str(refused.value) or 'wants (weight, parts)' in str(refused.value)


@pytest.mark.parametrize('kind', [np.float64, np.float32, Fraction, str])
def test_a_weight_of_any_kind_of_number_is_the_decimal_that_it_shows(kind):
  assert parse_mixture({'a': kind('0.25'), 'b': kind('0.75')}).shares() == {'a': Fraction(1, 4), 'b': Fraction(3, 4)}
