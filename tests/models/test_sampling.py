"""Which tokens can be drawn, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.models.sampling import nucleus, sample

nucleus_ = jax.jit(nucleus)


def reference(logits, top_k, top_p):
  """Ids of the candidates, likeliest first."""
  order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[: top_k or None]
  probabilities = np.exp(logits[order] - logits[order].max())
  probabilities /= probabilities.sum()
  kept, total = [], 0.0
  for token, probability in zip(order, probabilities, strict=True):
    if kept and top_p < 1 and total >= top_p:
      break
    kept.append(token)
    total += probability
  return kept


@settings(deadline=None, max_examples=60)
@given(
  logits=st.lists(st.integers(-6, 6), min_size=12, max_size=12),
  top_k=st.integers(0, 14),
  top_p=st.sampled_from([0.07, 0.31, 0.513, 0.889, 0.97, 1.0]),
)
def test_candidates_are_the_fewest_likeliest_that_reach_top_p(logits, top_k, top_p):
  logits = np.asarray(logits, np.float32) + np.arange(12, dtype=np.float32) / 64  # hardly any ties
  kept, ids = nucleus_(jnp.asarray(logits)[None], top_k, top_p)
  candidates = ids[0][jnp.isfinite(kept[0])].tolist()
  assert candidates == reference(logits, top_k, top_p)
  np.testing.assert_array_equal(kept[0][: len(candidates)], logits[candidates])


def test_of_equal_logits_the_lower_id_is_kept():
  _, ids = nucleus(jnp.zeros((1, 5)), 2, 1.0)
  assert ids[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature):
  logits = jnp.asarray([1.0, 3.0, -1.0, 2.0])
  draws = 4000
  keys = jax.random.split(jax.random.key(0), draws)
  tokens = sample(keys, jnp.broadcast_to(logits, (draws, 4)), temperature, 3, 1.0)
  counts = np.bincount(tokens, minlength=4) / draws
  expected = np.asarray(jax.nn.softmax(logits / temperature)) * [1, 1, 0, 1]
  np.testing.assert_allclose(counts, expected / expected.sum(), atol=4 * np.sqrt(0.25 / draws))


def test_rows_are_drawn_each_with_its_own_key():
  keys = jax.random.split(jax.random.key(0), 6)
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(6, 9)), jnp.float32)
  together = sample(keys, logits, 1.0, 0, 0.9)
  alone = [int(sample(keys[i : i + 1], logits[i : i + 1], 1.0, 0, 0.9)[0]) for i in range(6)]
  assert together.tolist() == alone
