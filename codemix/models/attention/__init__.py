"""Causal attention inside the documents of packed rows: one function, several implementations."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.models.attention.blockwise import TILE, blockwise_attention
from codemix.models.attention.gpu import cudnn_attention, pallas_attention
from codemix.models.attention.sharded import per_device
from codemix.models.attention.splash import splash_attention
from codemix.models.attention.xla import masked_attention, xla_attention
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import RULES, ShardingRules

__all__ = ['AUTO', 'IMPLEMENTATIONS', 'attend', 'choose', 'masked_attention']


MASKS = ('causal', 'documents')


@dataclasses.dataclass(frozen=True)
class Implementation:
  """A way to compute attention.

  Attributes:
    function: (q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL or None, platform=) -> [B, L, H, K].
    platform: the only platform that it compiles for; None: any.
    per_device: whether it is called with the rows and heads of one device: XLA cannot split kernels,
      and splits loops badly.
    verified: the masks with which it has passed the equality test of tests/models/test_attention.py,
      which compares this with its own table; it is refused with other masks.
  """

  function: Callable[..., jax.Array]
  platform: str | None = None
  per_device: bool = True
  verified: tuple[str, ...] = MASKS


# Splash and Pallas passed the test in Pallas's interpreter; cuDNN's kernel has not run on a GPU yet.
IMPLEMENTATIONS = {
  'xla': Implementation(xla_attention, per_device=False),
  'blockwise': Implementation(blockwise_attention),
  'splash': Implementation(splash_attention, 'tpu'),
  'pallas': Implementation(pallas_attention, 'gpu'),
  'cudnn': Implementation(cudnn_attention, 'gpu', verified=()),
}

AUTO = 'auto'
FASTEST = {'cpu': 'blockwise', 'tpu': 'splash', 'gpu': 'pallas'}


def attend(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segment_ids_BxL: jax.Array | None,
  *,
  implementation: str = AUTO,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
  interpret: bool = False,
) -> jax.Array:
  """Each token attends to itself and to the earlier tokens with the same segment id.

  Head h of the H query heads reads key/value head h // (H / G). Scores are scaled by K^-0.5, and
  the softmax is in float32. Where `segment_ids_BxL` is None the mask is only causal.

  Raises UserError: the implementation is for another platform or not verified with this mask; or
  the mesh does not divide the rows, or the heads of an implementation that is called per device.

  Args:
    implementation: a name in `IMPLEMENTATIONS`, or 'auto': the platform's fastest (`choose`).
    mesh: the mesh over which rows and positions are sharded, and heads by `rules`.
    rules: how parameters are sharded over it.
    interpret: runs a kernel of another platform in an interpreter, which is slow: for tests.

  Returns: [B, L, H, K] in the dtype of `q_BxLxHxK`.
  """
  platform = platform_of(mesh)
  auto = choose(platform, q_BxLxHxK.shape[1])
  name = auto if implementation == AUTO else implementation
  _check(name, 'causal' if segment_ids_BxL is None else 'documents', platform, auto, interpret)
  chosen = IMPLEMENTATIONS[name]
  function = functools.partial(chosen.function, platform=platform)
  if mesh is None or mesh.size == 1 or not chosen.per_device:
    return function(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL)
  return per_device(function, mesh, rules, q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL)


def choose(platform: str, length: int) -> str:
  """The implementation that 'auto' selects for rows of `length` tokens on a platform ('cpu', 'gpu', 'tpu', ...)."""
  if platform == 'cpu' and length <= TILE:
    return 'xla'  # a row is one tile on the diagonal, of which nothing can be skipped
  return FASTEST.get(platform, 'blockwise')


def _check(name: str, mask: str, platform: str, auto: str, interpret: bool) -> None:
  advice = f'use {auto!r}, or {AUTO!r}, which chooses it.'
  implementation = IMPLEMENTATIONS[name]
  if mask not in implementation.verified:
    masks = 'masks between documents' if mask == 'documents' else 'causal masks'
    raise UserError(f'ModelConfig.attention is {name!r}, which has not passed the equality test with {masks}: {advice}')
  needed = implementation.platform
  if needed not in (None, platform) and not interpret:
    raise UserError(
      f'ModelConfig.attention is {name!r}, which is for {needed.upper()}s, and this runs on {platform.upper()}: {advice}'
    )
