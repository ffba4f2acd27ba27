"""One optimization step, compiled once and used by every stage of a run."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import batch_sharding
from codemix.training.microbatches import join_rows, split_rows
from codemix.training.optimizer import Optimizer, make_optimizer, step_of, with_step
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, state_shardings

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
Tree = Any


@functools.cache
def make_train_step(
  model: ModelConfig,
  optimizer: Optimizer,
  placement: Placement,
  bos_id: int,
  microbatches: int = 1,
  guarded: bool = False,
):
  """The jitted step: (state, batch, rate) -> (state, metrics); the old state is donated.

  The rate is an argument, and the host assigns rows to sources, so the program
  depends on neither the stage nor the mixture: two recipes with the same first
  stages run the same program, bit for bit.

  `placement` and `microbatches` decide where and in what portions the same sums
  are computed. They change numbers only by rounding, as the number of devices
  does, so they are not part of a stage's identity.

  Args:
    bos_id: the input that begins a document, with which documents are counted.
    microbatches: portions of a batch that go through the model one after the
      other; the loss is the mean over the loss tokens of the whole batch,
      however they are distributed over the portions.
    guarded: whether a step may be skipped. The function then takes a fourth argument, bool [], whether to
      learn from the batch. If it is false, or loss or gradient are not finite, only the count of steps
      changes; 'learned', bool [], of the metrics says whether more did. It is another program, which may
      round in another way.

  Returns:
    A function of state, batch (arrays [B, L], and `source` [B]) and rate
    (float32 []); its metrics are 'loss' (mean over the loss tokens; 0 of a
    batch without any) and 'grad_norm' (before clipping), float32 []; and for
    each row 'source', 'read' (tokens), 'tokens' (those in the loss),
    'documents' (int32 [B]) and 'nll' (float32 [B], summed).
  """
  tx = make_optimizer(optimizer)
  mesh, rules = placement.mesh, placement.rules
  replicated = NamedSharding(mesh, PartitionSpec())
  shardings = state_shardings(model, optimizer, placement)

  def share_of_loss(params: Tree, batch: Batch, tokens: jax.Array):
    """This portion's part of the mean over `tokens`, and nll of each of its rows."""
    total, nll_BxL = decoder.token_losses(model, params, batch, mesh=mesh, rules=rules)
    return total / tokens, (nll_BxL * batch['weights']).sum(-1)

  differentiate = jax.value_and_grad(share_of_loss, has_aux=True)

  def gradients(params: Tree, batch: Batch):
    """((loss, nll_B), gradients) of the whole batch."""
    tokens = jnp.maximum(batch['weights'].sum(), 1)  # a batch may hold prompts only
    if microbatches == 1:
      return differentiate(params, batch, tokens)

    def add(total, batch):
      (loss, nll_B), grads = differentiate(params, batch, tokens)
      total = jax.tree.map(jnp.add, total, (loss, grads))
      # The sums are sharded as the parameters are, not replicated.
      return jax.lax.with_sharding_constraint(total, (replicated, shardings.params)), nll_B

    start = jnp.zeros([]), jax.tree.map(jnp.zeros_like, params)
    (loss, grads), nll_MxB = jax.lax.scan(add, start, split_rows(batch, microbatches, mesh))
    return (loss, join_rows(nll_MxB, mesh)), grads

  def train_step(state: TrainState, batch: Batch, rate: jax.Array, learn: jax.Array | None = None):
    (loss, nll_B), grads = gradients(state.params, batch)
    opt_state = state.opt_state
    if placement.offload_optimizer:
      opt_state = jax.device_put(opt_state, jax.memory.Space.Device)
    before = state._replace(opt_state=opt_state)
    updates, opt_state = tx.update(grads, opt_state, state.params, rate=rate)
    read_BxL = batch['segment_ids'] > 0
    metrics = {
      'loss': loss,
      'grad_norm': optax.tree.norm(grads),
      'source': batch['source'],
      'read': read_BxL.sum(-1, dtype=jnp.int32),
      'tokens': (batch['weights'] > 0).sum(-1, dtype=jnp.int32),
      'documents': (read_BxL & (batch['inputs'] == bos_id)).sum(-1, dtype=jnp.int32),
      'nll': nll_B,
    }
    after = TrainState(optax.apply_updates(state.params, updates), opt_state)
    if learn is not None:
      metrics['learned'] = learn & jnp.isfinite(loss) & jnp.isfinite(metrics['grad_norm'])
      skipped = before._replace(opt_state=with_step(before.opt_state, step_of(after.opt_state)))
      after = jax.tree.map(functools.partial(jnp.where, metrics['learned']), after, skipped)
    return after, metrics

  return jax.jit(
    train_step,
    in_shardings=(shardings, batch_sharding(mesh), replicated, *([replicated] if guarded else [])),
    # Every process reads the metrics of all rows, so they are replicated.
    out_shardings=(shardings, replicated),
    donate_argnums=0,
  )
