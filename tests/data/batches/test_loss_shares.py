"""Shares of loss tokens, where rows hold different numbers of them: met within a row, counted from the rows that are drawn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from codemix.data.batches.loss_shares import rows_by_loss_tokens
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor
from codemix.data.batches.source_use import plan_uses
from codemix.data.order.permutation import permute, round_keys
from codemix.data.order.row_schedule import apportion
from codemix.data.order.targets import constant
from codemix.data.settings import Data
from codemix.errors import UserError
from tests import instructions
from tests.data.stores import BOS, make_store

LENGTH, SEED = 64, 7


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """Two sources with prompts, of which one is mostly prompt, and one without."""
  root = tmp_path_factory.mktemp('loss_shares')
  data = Data(directory=str(root), tokenizer='bytes')
  stores = {'plain': make_store(root / 'plain', [40] * 60)}
  for name, shape in {'brief': {'ask': 30, 'say': 2}, 'wordy': {'ask': 3, 'say': 30}}.items():
    made = instructions.corpus(root / name, {'train': instructions.pairs(60, seed=len(name), **shape)})
    data = instructions.add(data, name, made)
    stores[name] = data.open_store(name, 'train', data.load_tokenizer())
  return {name: PreparedSource(name, store, LENGTH, BOS) for name, store in stores.items()}


def loss_of_each_row(source: PreparedSource) -> np.ndarray:
  """From the rows themselves."""
  return np.array([int(source.row(index)['weights'].sum()) for index in range(len(source))])


def loss_of_draws(source: PreparedSource, start: int, count: int) -> list[int]:
  """What `count` draws hold, one by one."""
  losses, size = loss_of_each_row(source), len(source)
  draw = lambda at: int(permute(np.array([at % size]), size, round_keys(SEED, source.name, at // size))[0])
  return [int(losses[draw(at)]) for at in range(start, start + count)]


@pytest.mark.parametrize('name', ['plain', 'brief', 'wordy'])
def test_the_loss_of_draws_is_that_of_their_rows_over_any_epochs(sources, name):
  source = sources[name]
  for start, count in ((0, len(source)), (3, 2), (len(source) - 2, 2 * len(source) + 3)):
    found = np.concatenate(list(source.loss_of_draws(start, start + count, SEED))).tolist()
    assert found == loss_of_draws(source, start, count)


@pytest.mark.parametrize('rows', [1, 7, 64, 301])
@pytest.mark.parametrize(
  'shares',
  [{'brief': '1/2', 'wordy': '1/2'}, {'brief': '1/7', 'plain': '6/7'}, {'wordy': '3/10', 'plain': '1/10', 'brief': '6/10'}],
  ids=lambda shares: '+'.join(shares),
)
def test_every_source_has_its_share_of_the_loss_tokens_within_a_row(sources, shares, rows):
  shares = {name: Fraction(share) for name, share in shares.items()}
  cursors = {name: Cursor(5 + n, 5 + n, 5 + n) for n, name in enumerate(shares)}
  counts = rows_by_loss_tokens(sources, shares, cursors, rows, SEED)
  assert sum(counts) == rows
  got = {name: sum(loss_of_draws(sources[name], cursors[name].cursor, count)) for name, count in zip(shares, counts, strict=True)}
  for name, share in shares.items():
    assert abs(got[name] - share * sum(got.values())) <= LENGTH
  if rows > 60:  # a share of rows would be far off
    by_rows = apportion(shares, rows)
    assert any(abs(count - by_rows[name]) > 5 for name, count in zip(shares, counts, strict=True))


def test_without_prompts_shares_of_loss_tokens_are_shares_of_rows(sources):
  shares = {'plain': Fraction(1, 3), 'other': Fraction(2, 3)}
  plain = {name: sources['plain'] for name in shares}
  assert rows_by_loss_tokens(plain, shares, {}, 30, SEED) == list(apportion(shares, 30).values())


def test_what_is_planned_of_a_source_with_prompts_is_what_its_rows_hold(sources):
  shares = {'brief': Fraction(1, 2), 'plain': Fraction(1, 2)}
  cursors = {'brief': Cursor(4, 9, 5)}
  brief, plain = plan_uses(sources, shares, constant([30, 10]), cursors, SEED)
  assert (brief.tokens, brief.loss_tokens) == (30 * LENGTH, sum(loss_of_draws(sources['brief'], 4, 30)))
  assert (plain.tokens, plain.loss_tokens) == (None, 10 * LENGTH)
  assert 'tokens' in brief.as_json() and 'tokens' not in plain.as_json()


def test_a_source_whose_rows_hold_no_answer_cannot_have_a_share(tmp_path):
  # The only answer lies behind the last whole row.
  data = Data(directory=str(tmp_path), tokenizer='bytes')
  data = instructions.add(data, 'late', instructions.corpus(tmp_path / 'raw', {'train': [('w' * 127 + ':', ' yes')] }))
  late = PreparedSource('late', data.open_store('late', 'train', data.load_tokenizer()), LENGTH, BOS)
  with pytest.raises(UserError, match=r"'late' have no token that counts.*Stage\.shares"):
    rows_by_loss_tokens({'late': late, 'same': late}, {'late': Fraction(1, 2), 'same': Fraction(1, 2)}, {}, 4, SEED)
