"""One optimization step, compiled once and used by every stage of a run."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import batch_sharding
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.train_state import TrainState, state_shardings

Metrics = dict[str, jax.Array]


@functools.cache
def make_train_step(model: ModelConfig, optimizer: Optimizer, mesh: Mesh, bos_id: int):
  """The jitted step: (state, batch, rate) -> (state, metrics); the old state is donated.

  The rate is an argument, and sources are told apart on the host by row, so
  the program depends on neither the stage nor the mixture: two recipes that
  begin alike run the same program, bit for bit.

  Args:
    bos_id: the input that begins a document, to count documents by.

  Returns:
    A function of state, batch (arrays [B, L], and `source` [B]) and rate
    (float32 []); its metrics are 'loss' (mean over the loss tokens) and
    'grad_norm' (before clipping), float32 []; and for each row 'source',
    'tokens', 'documents' (int32 [B]) and 'nll' (float32 [B], summed).
  """
  tx = make_optimizer(optimizer)
  replicated = NamedSharding(mesh, PartitionSpec())

  def loss_fn(params: Any, batch: dict[str, jax.Array]):
    total, nll_BxL = decoder.token_losses(model, params, batch, mesh=mesh)
    return total / batch['weights'].sum(), nll_BxL

  def train_step(state: TrainState, batch: dict[str, jax.Array], rate: jax.Array):
    (loss, nll_BxL), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params, batch)
    updates, opt_state = tx.update(grads, state.opt_state, state.params, rate=rate)
    counts_BxL = batch['weights'] > 0
    metrics = {
      'loss': loss,
      'grad_norm': optax.global_norm(grads),
      'source': batch['source'],
      'tokens': counts_BxL.sum(-1, dtype=jnp.int32),
      'documents': (counts_BxL & (batch['inputs'] == bos_id)).sum(-1, dtype=jnp.int32),
      'nll': (nll_BxL * batch['weights']).sum(-1),
    }
    return TrainState(optax.apply_updates(state.params, updates), opt_state), metrics

  shardings = state_shardings(model, optimizer, mesh)
  return jax.jit(
    train_step,
    in_shardings=(shardings, batch_sharding(mesh), replicated),
    # Every process reads the metrics of all rows, so they lie on every device.
    out_shardings=(shardings, replicated),
    donate_argnums=0,
  )
