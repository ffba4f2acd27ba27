"""Matmuls of tokens with weights, and SwiGLU, with their gradients written out.

Shapes: N tokens, A inputs and C outputs of a weight; D width, F FFN width.
"""

from __future__ import annotations

import jax
from jax.ad_checkpoint import checkpoint_name

from codemix.models.cpu.matmul import weight_gradients_by_rows


@jax.custom_vjp
def dense(x_NxA: jax.Array, *weights_AxC: jax.Array) -> tuple[jax.Array, ...]:
  """`x @ weight` for each weight; all of one dtype."""
  return tuple(x_NxA @ weight for weight in weights_AxC)


def _dense_forward(x_NxA, *weights_AxC):
  return dense(x_NxA, *weights_AxC), (x_NxA, *weights_AxC)


def _dense_backward(residuals, dy_NxC):
  x_NxA, *weights_AxC = residuals
  dx_NxA = sum(dy @ weight.T for dy, weight in zip(dy_NxC, weights_AxC, strict=True))
  dweights_AxC = jax.lax.platform_dependent(
    x_NxA, *dy_NxC, cpu=weight_gradients_by_rows, default=_weight_gradients
  )
  return dx_NxA, *dweights_AxC


def _weight_gradients(x_NxA, *dy_NxC):
  return tuple(x_NxA.T @ dy for dy in dy_NxC)


dense.defvjp(_dense_forward, _dense_backward)


@jax.custom_vjp
def swiglu(
  x_NxD: jax.Array, gate_DxF: jax.Array, up_DxF: jax.Array, down_FxD: jax.Array
) -> jax.Array:
  """`(silu(x @ gate) * (x @ up)) @ down` (Shazeer, arXiv:2002.05202); all of one dtype.

  Keeps x and two arrays [N, F] for the gradients, named 'gate' and 'up' for remat.
  """
  return _swiglu_forward(x_NxD, gate_DxF, up_DxF, down_FxD)[0]


def _swiglu_forward(x_NxD, gate_DxF, up_DxF, down_FxD):
  gate_NxF, up_NxF = dense(x_NxD, gate_DxF, up_DxF)
  gate_NxF, up_NxF = checkpoint_name(gate_NxF, 'gate'), checkpoint_name(up_NxF, 'up')
  out_NxD = _gated(gate_NxF, up_NxF) @ down_FxD
  return out_NxD, (x_NxD, gate_NxF, up_NxF, gate_DxF, up_DxF, down_FxD)


def _swiglu_backward(residuals, dout_NxD):
  x_NxD, gate_NxF, up_NxF, gate_DxF, up_DxF, down_FxD = residuals
  hidden_NxF, pull = jax.vjp(_gated, gate_NxF, up_NxF)
  dhidden_NxF, ddown_FxD = _dense_backward((hidden_NxF, down_FxD), (dout_NxD,))
  dx_NxD, dgate_DxF, dup_DxF = _dense_backward((x_NxD, gate_DxF, up_DxF), pull(dhidden_NxF))
  return dx_NxD, dgate_DxF, dup_DxF, ddown_FxD


def _gated(gate_NxF, up_NxF):
  return jax.nn.silu(gate_NxF) * up_NxF


swiglu.defvjp(_swiglu_forward, _swiglu_backward)
