"""Every attention implementation, held to the definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models.attention import IMPLEMENTATIONS, attend


def reference(q, k, v, segment_ids):
  """One query at a time, in float64."""
  B, L, H, K = q.shape
  queries_per_head = H // k.shape[2]
  out = np.zeros(q.shape)
  for b in range(B):
    for i in range(L):
      seen = [
        j for j in range(i + 1) if segment_ids is None or segment_ids[b, i] == segment_ids[b, j]
      ]
      for h in range(H):
        scores = k[b, seen, h // queries_per_head] @ q[b, i, h] / np.sqrt(K)
        weights = np.exp(scores - scores.max())
        out[b, i, h] = weights / weights.sum() @ v[b, seen, h // queries_per_head]
  return out


def random_qkv(seed, B, L, H, G, K):
  rng = np.random.default_rng(seed)
  return (rng.normal(size=(B, L, heads, K)) * 2 for heads in (H, G, G))


@pytest.mark.parametrize('implementation', sorted(IMPLEMENTATIONS))
@pytest.mark.parametrize('heads', [(1, 1), (4, 4), (6, 3), (4, 1)])
@pytest.mark.parametrize('length', [1, 7, 16])
@pytest.mark.parametrize('masked', [False, True])
def test_attention_is_its_definition(implementation, heads, length, masked):
  q, k, v = random_qkv(length, 2, length, *heads, 8)
  segments = np.sort(np.random.default_rng(length).integers(0, 4, (2, length)), axis=1)
  segments = segments if masked else None
  arrays = [jnp.asarray(a, jnp.float32) for a in (q, k, v)]
  attend_ = jax.jit(functools.partial(attend, implementation=implementation))
  out = attend_(*arrays, None if segments is None else jnp.asarray(segments))
  np.testing.assert_allclose(out, reference(q, k, v, segments), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize('implementation', sorted(IMPLEMENTATIONS))
def test_gradients_of_a_document_do_not_reach_another(implementation):
  q, k, v = (jnp.asarray(a, jnp.float32) for a in random_qkv(0, 1, 10, 4, 2, 8))
  segments = jnp.asarray([[1] * 4 + [2] * 6])

  def second_document(q, k, v):
    return attend(q, k, v, segments, implementation=implementation)[:, 4:].sum()

  for gradient in jax.grad(second_document, argnums=(0, 1, 2))(q, k, v):
    assert jnp.all(gradient[:, :4] == 0)
    assert jnp.any(gradient[:, 4:] != 0)


def test_an_unknown_implementation_is_named():
  q, k, v = (jnp.asarray(a, jnp.float32) for a in random_qkv(0, 1, 2, 1, 1, 2))
  with pytest.raises(UserError, match="ModelConfig.attention is 'xlaa'.*Did you mean 'xla'"):
    attend(q, k, v, None, implementation='xlaa')
