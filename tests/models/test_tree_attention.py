"""A token sees its context and its own branch, as a mask written token by token says."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from codemix.models import reference
from codemix.models.attention import tree
from codemix.parallel.mesh import MeshConfig, make_mesh

B, L, H, G, K = 2, 24, 4, 2, 6
# (segment, branch) of the tokens of a row; (0, 0) is padding.
ROWS = [
  [(1, 0)] * 5 + [(1, 1)] * 3 + [(1, 2)] * 4 + [(2, 0)] * 2 + [(2, 1)] * 6 + [(0, 0)] * 4,
  [(1, 1)] * 2 + [(1, 2)] * 2 + [(2, 0)] * 9 + [(2, 1)] + [(2, 2)] + [(2, 3)] * 9,
]


def plain_mask() -> np.ndarray:
  mask = np.zeros((B, L, L), bool)
  for row, tokens in enumerate(ROWS):
    for query, (segment, branch) in enumerate(tokens):
      for key in range(query + 1):
        mask[row, query, key] = tokens[key][0] == segment and tokens[key][1] in (0, branch)
  return mask


@pytest.mark.parametrize('queries', [512, 12, 7, 1])
@pytest.mark.parametrize('axes', [None, {'fsdp': 2, 'sequence': 2, 'tensor': 2}, {'sequence': 8}])
def test_it_is_attention_with_the_mask_of_trees_in_any_number_of_parts_on_any_mesh(queries, axes, monkeypatch):
  monkeypatch.setattr(tree, 'QUERIES', queries)
  rng = np.random.default_rng(0)
  q, k, v = (rng.normal(size=(B, L, heads, K)).astype(np.float32) for heads in (H, G, G))
  segments, branches = np.moveaxis(np.asarray(ROWS, np.int32), -1, 0)
  mesh = make_mesh(MeshConfig(**{'data': 1, **axes})) if axes else None
  found = jax.jit(lambda *arrays: tree.tree_attention(*arrays, mesh=mesh))(q, k, v, segments, branches)
  np.testing.assert_allclose(found, reference.attention(q, k, v, plain_mask()), rtol=1e-5, atol=1e-6)
