"""A training step: its time, memory and MFU, beside a plain JAX step and the matmuls of the same run.

Random tokens, one device, the programs in turn. MFU is the model's FLOPs (`ModelConfig.flops_per_token`:
the matmuls of the forward and backward pass with the output head, and the half of attention's scores
that the causal mask leaves) against what square matmuls of the same dtype reached in the same run.
FLOPs that are computed twice count once. TensorFlow is not imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.matmul import medians_and_peak
from codemix.benchmarks.measuring import one_device_mesh
from codemix.models import reference
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import batch_sharding
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import init_state
from codemix.training.train_step import make_train_step

# 8.4M parameters: the steps of other libraries are known for it on two CPU cores.
MODEL = ModelConfig(
  vocab_size=8192, layers=6, width=256, ffn_width=1024, heads=4, head_dim=64, dtype='float32'
)
RATE = np.float32(1e-3)
PLAIN_BYTES = 2**30  # the plain step is left out where it needs more at a time
GOAL, GOAL_GB = 1.5, 0.6  # of MODEL on a CPU


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    rows, length: of the batch.
    documents: of a row, of equal length.
    repeats: of each step; the median counts.
  """

  rows: int = 8
  length: int = 512
  documents: int = 1
  repeats: int = 10


def measure(folder: Path, size: Size, model: ModelConfig = MODEL) -> Iterator[Figure]:
  """Yields the figures of the step, of the plain one where it fits, and of both; `folder` is not used."""
  del folder
  mesh = one_device_mesh()
  batch = jax.device_put(random_batch(size, model.vocab_size), batch_sharding(mesh))
  goals = model == MODEL and jax.default_backend() == 'cpu'
  runs = {'codemix': train_steps(model, mesh, batch)}
  if plain_bytes(size, model) <= PLAIN_BYTES:
    runs['plain'] = plain_steps(model, mesh, batch)
  taken, peak = medians_and_peak(runs, size.repeats, jnp.dtype(model.dtype), warm_up=2)

  tokens = size.rows * size.length
  flops = tokens * model.flops_per_token(size.length)['total']
  yield Figure(f'{model.dtype} matmuls before or after the steps', peak / 1e12, 'TFLOP/s')
  for name, run in runs.items():
    memory = run.program.memory_analysis().temp_size_in_bytes / 1e9
    goal = {'goal': GOAL_GB, 'more_is_better': False} if goals and name == 'codemix' else {}
    yield Figure(f'{name}: a step', 1e3 * taken[name], 'ms')
    yield Figure(f'{name}: tokens', tokens / taken[name], 'tokens/s')
    yield Figure(f'{name}: MFU against those matmuls', 100 * flops / taken[name] / peak, '%')
    yield Figure(f'{name}: temporaries', memory, 'GB', **goal)
  if 'plain' in runs:
    ratio = taken['plain'] / taken['codemix']
    yield Figure('times as fast as the plain step', ratio, 'x', goal=GOAL if goals else None)


def plain_bytes(size: Size, model: ModelConfig) -> int:
  """Bytes that a plain step holds in float32: all logits, or the scores of all layers, whichever is more."""
  scores = model.layers * model.heads * size.length  # of a token, with all of its row
  return 4 * size.rows * size.length * max(model.vocab_size, scores)


class Steps:
  """A compiled step, and the state that each call advances by one step."""

  def __init__(self, step, state, *inputs):
    self.program = step.lower(state, *inputs).compile()
    self._state, self._inputs = state, inputs

  def __call__(self):
    self._state, _ = self.program(self._state, *self._inputs)
    return self._state


def train_steps(model: ModelConfig, mesh: Mesh, batch: dict[str, jax.Array]) -> Steps:
  """The step that `codemix train` runs."""
  optimizer, placement = Optimizer(), Placement(mesh)
  step = make_train_step(model, optimizer, placement, bos_id=1)
  return Steps(step, init_state(model, optimizer, 0, placement), batch, RATE)


def plain_steps(model: ModelConfig, mesh: Mesh, batch: dict[str, jax.Array]) -> Steps:
  """The step as one would first write it: the reference's loss, `jax.grad`, and the same optimizer."""
  optimizer = make_optimizer(Optimizer())

  def step(state, batch):
    params, moments = state

    def mean_loss(params):
      return reference.token_losses(model, params, batch)[0] / batch['weights'].sum()

    loss, gradients = jax.value_and_grad(mean_loss)(params)
    updates, moments = optimizer.update(gradients, moments, params, rate=RATE)
    return (optax.apply_updates(params, updates), moments), loss

  # On a mesh of one device, parameters are like any array.
  params = init_state(model, Optimizer(), 0, Placement(mesh)).params
  return Steps(jax.jit(step, donate_argnums=0), (params, optimizer.init(params)), batch)


def random_batch(size: Size, vocabulary: int) -> dict[str, np.ndarray]:
  """Rows of random tokens, in documents of equal length."""
  B, L = size.rows, size.length
  ids = np.random.default_rng(0).integers(0, vocabulary, (B, L + 1), np.int32)
  document = np.arange(L) * size.documents // L
  begins = np.searchsorted(document, document)
  whole = lambda a: np.tile(a.astype(np.int32), (B, 1))
  return {
    'inputs': ids[:, :-1],
    'targets': ids[:, 1:],
    'segment_ids': whole(document + 1),
    'positions': whole(np.arange(L) - begins),
    'weights': np.ones((B, L), np.float32),
    'source': np.zeros(B, np.int32),
  }
