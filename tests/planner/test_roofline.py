"""The arithmetic of times, FLOPs and costs, beside values worked out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from codemix.errors import UserError
from codemix.models.attention.splash import splash_attention
from codemix.models.config import ModelConfig
from codemix.parallel.topology import Topology
from codemix.planner.chips import CHIPS
from codemix.planner.collectives import Collective
from codemix.planner.flops import matmul_flops
from codemix.planner.programs import (
  EVALUATE,
  TRAIN,
  Compiled,
  Memory,
  Step,
  model_flops,
  required_bytes,
)
from codemix.planner.published import comparable
from codemix.planner.roofline import chip_hours, implied_mfu, step_time
from codemix.training.optimizer import Optimizer

V5E = CHIPS['v5e']
STUDY_470M = ModelConfig(vocab_size=256_000, layers=16, width=1024, ffn_width=2816, heads=8, head_dim=128)
STUDY_2B8 = ModelConfig(vocab_size=256_000, layers=27, width=2560, ffn_width=6912, heads=20, head_dim=128)
STEP = Step(TRAIN, STUDY_470M, Optimizer(), 512, 8192)


def _compiled(*collectives: Collective, flops: float = 0.0, traffic: float = 0.0) -> Compiled:
  return Compiled(STEP, Memory(0, 0, 0), 0.0, 0.0, flops, None, traffic, collectives)


def _all_gather(chips: int, sides: tuple[int, ...], slices: int = 1) -> Collective:
  return Collective('all-gather', 1.0, 100_000_000, chips, slices, sides)


def test_matmuls_run_at_the_peak_of_all_chips_and_traffic_at_one_chips_rate():
  time = step_time(_compiled(flops=256 * 197e12, traffic=819e6), V5E, Topology('v5e', (16, 16)))
  assert (time.compute, time.memory) == pytest.approx((1.0, 1e-3))
  assert (time.bound, time.overlapped, time.one_by_one) == ('compute', pytest.approx(1.0), pytest.approx(1.001))


def test_a_ring_sends_both_ways_and_a_line_one_way():
  full, half = Topology('v5e', (16, 16)), Topology('v5e', (8, 8))
  # 15 others' worth of 100 MB over two links of 50 GB/s; and 7 over one.
  assert step_time(_compiled(_all_gather(16, (0,))), V5E, full).links == pytest.approx(15 * 1e8 / 100e9)
  assert step_time(_compiled(_all_gather(8, (0,))), V5E, half).links == pytest.approx(7 * 1e8 / 50e9)
  assert step_time(_compiled(_all_gather(256, (0, 1))), V5E, full).links == pytest.approx(255 * 1e8 / 200e9)


def test_slices_send_over_the_network_and_a_rate_that_is_not_published_is_not_made_up():
  two = Topology('v5e', (16, 16), 2)
  between = _all_gather(1, (), slices=2)
  assert step_time(_compiled(between), V5E, two).network == pytest.approx(1e8 / 3.125e9)
  assert step_time(_compiled(between), V5E, two).links == 0.0
  assert step_time(_compiled(between), CHIPS['v6e'], two).network is None


def test_a_refusal_for_memory_tells_how_much_would_be_needed_and_any_other_is_passed_on():
  assert required_bytes('RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 25.50G of 15.75G hbm.', 7) == int(25.5 * 2**30)
  temporaries = 'the total memory required for HLO temporaries (54.00G) exceeds available HBM (15.75G).'
  assert required_bytes(temporaries, 7) == 54 * 2**30 + 7
  with pytest.raises(UserError, match='INTERNAL: Mosaic'):
    required_bytes('INTERNAL: Mosaic failed\nsomewhere', 7)


def test_an_evaluation_is_a_third_of_a_training_step():
  evaluation = Step(EVALUATE, STUDY_470M, Optimizer(), 512, 8192)
  assert model_flops(STEP) == 3 * model_flops(evaluation)


def test_the_studys_chip_hours_imply_the_utilisation_that_was_worked_out_by_hand():
  # 6 x 467.7M weights + 6 x 16 layers x 1024 x 8192 of attention = 3.61e9 FLOPs a token.
  (long, of_long), (cooldown, of_cooldown) = comparable(STUDY_470M)
  assert (long.chip_hours, cooldown.chip_hours) == (4736, 1024)
  assert of_long == pytest.approx(200e9 * 3.6112e9 / (4736 * 3600 * 197e12), rel=1e-3)
  assert of_cooldown == pytest.approx(of_long * (40 / 200) * (4736 / 1024))
  ((large, of_large),) = comparable(STUDY_2B8)
  assert large.chip_hours == 13_824 and of_large == pytest.approx(0.413, abs=0.002)


def test_a_model_of_another_size_is_not_compared_with_the_study():
  assert comparable(ModelConfig(vocab_size=8192, layers=3, width=96, ffn_width=256, heads=3, head_dim=32)) == []


def test_hours_at_the_implied_utilisation_are_the_hours():
  assert chip_hours(1e21, V5E, implied_mfu(1e21, V5E, 4736)) == pytest.approx(4736)


def test_matmuls_are_counted_through_loops_branches_and_recomputation():
  weights = jnp.zeros((3, 8, 8))

  def layer(x, w):
    return jnp.tanh(x @ w), None

  def loss(weights, x, remat):
    body = jax.checkpoint(layer) if remat else layer
    return jax.lax.scan(body, x, weights)[0].sum()

  x = jnp.zeros((4, 8))
  one = 2 * 4 * 8 * 8
  forward = jax.make_jaxpr(lambda w, x: loss(w, x, False))(weights, x)
  assert matmul_flops(forward) == 3 * one
  plain = jax.make_jaxpr(jax.grad(lambda w: loss(w, x, False)))(weights)
  remat = jax.make_jaxpr(jax.grad(lambda w: loss(w, x, True)))(weights)
  assert matmul_flops(plain) == 3 * (3 * one)
  assert matmul_flops(remat) == 3 * (4 * one)
  branches = jax.make_jaxpr(lambda p, x: jax.lax.cond(p, lambda x: x @ x.T, lambda x: jnp.zeros((4, 4)), x))(True, x)
  assert matmul_flops(branches) == 2 * 4 * 4 * 8


def test_a_matmul_whose_result_nobody_reads_is_not_counted():
  x = jnp.zeros((4, 8))
  unread = jax.make_jaxpr(lambda x: (x @ x.T, x + 1)[1])(x)
  assert any(equation.primitive.name == 'dot_general' for equation in unread.eqns)
  assert matmul_flops(unread) == 0


def test_a_kernel_whose_result_remat_keeps_is_counted_once():
  q = jnp.zeros((1, 256, 2, 128), jnp.bfloat16)

  def executed(policy) -> float:
    def attention(q):
      return splash_attention(q, q, q, None, platform='tpu')

    loss = lambda q: jax.checkpoint(attention, policy=policy)(q).astype(jnp.float32).sum()
    return matmul_flops(jax.make_jaxpr(jax.value_and_grad(loss))(q))

  forward = matmul_flops(jax.make_jaxpr(lambda q: splash_attention(q, q, q, None, platform='tpu'))(q))
  policies = jax.checkpoint_policies
  kept, again = executed(policies.save_only_these_names('context')), executed(policies.nothing_saveable)
  assert again - kept == forward > 0
