"""Shares of loss tokens, counted from the tokens that are read: exact at every prefix, however long the documents are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.mixtures.mixture import parse_mixture
from codemix.data.order.row_schedule import constant_shares
from codemix.data.store import token_store

LENGTH, BOS, EOS = 64, 1, 2
DOCUMENT_TOKENS = (5, 37, 400, 5_000, 50_000, 500_000)
IDS_EACH = 10_000  # every source has ids of its own, by which its tokens are known


@pytest.fixture(scope='module')
def sources(tmp_path_factory) -> dict[str, PreparedSource]:
  root, found = tmp_path_factory.mktemp('sources'), {}
  for number, tokens in enumerate(DOCUMENT_TOKENS):
    rng = np.random.default_rng(number)
    first = 10 + number * IDS_EACH
    documents = [
      (np.append(rng.integers(first, first + IDS_EACH, tokens - 1), EOS), tokens) for _ in range(max(12_000 // tokens, 1))
    ]
    token_store.write_shard(root / str(number), 'only', documents, np.dtype('<u2'))
    store = token_store.write_manifest(root / str(number), {}, ['only'], np.dtype('<u2'))
    found[f's{number}'] = PreparedSource(f's{number}', store, LENGTH, BOS)
  return found


weights = lambda count: st.lists(st.integers(0, 40), min_size=count, max_size=count).filter(any)


@st.composite
def mixtures(draw) -> dict:
  """Some of the sources with random weights, some of them in a group."""
  names = draw(st.permutations([f's{number}' for number in range(len(DOCUMENT_TOKENS))]))
  names = names[: draw(st.integers(1, len(names)))]
  cut = draw(st.integers(0, len(names) - 1))
  outside, inside = names[:cut], names[cut:]
  inner, outer = draw(weights(len(inside))), draw(weights(cut + 1))
  exact = lambda parts: [str(Fraction(part, sum(parts))) for part in parts]
  group = dict(zip(inside, exact(inner), strict=True))
  shares = exact(outer)
  return {**dict(zip(outside, shares, strict=False)), 'group': (shares[-1], group)}


@settings(max_examples=200, deadline=None)
@given(mixtures(), st.integers(1, 150), st.integers(0, 5))
def test_every_prefix_holds_each_sources_share_of_loss_tokens_to_the_row(sources, mixture, rows, seed):
  shares = {name: share for name, share in parse_mixture(mixture).shares().items() if share}
  drawn = {name: sources[name] for name in shares}
  segments = constant_shares(shares, rows)
  stage = StageRows(drawn, plan_uses(drawn, shares, segments, {}, seed), segments, seed)
  batch = stage.read(np.arange(rows))
  assert (batch['weights'] == 1).all()
  spoken = np.where(batch['targets'] == EOS, -1, (batch['targets'] - 10) // IDS_EACH)
  number = spoken.max(1)  # a row with nothing but EOS there is none: documents have four tokens or more
  assert ((spoken == number[:, None]) | (spoken == -1)).all()
  prefix = np.arange(1, rows + 1)
  for name, share in shares.items():
    tokens = np.cumsum(number == int(name[1:])) * LENGTH
    count = int(tokens[-1]) // LENGTH
    assert abs(count - share * rows) < 1
    # In units of 1 / rows: the apportioned share at every prefix.
    assert (np.abs(tokens * rows - prefix * count * LENGTH) < LENGTH * rows).all()
