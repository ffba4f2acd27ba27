"""A training step: its time, memory and MFU, beside a plain one and the matmuls of the same run.

Random tokens, one device, all programs in turn, so that what else the machine does meets all of them.
MFU is the model's FLOPs (`ModelConfig.flops_per_token`: matmuls of the forward and backward pass with
the output head, and half of attention's scores, which the causal mask leaves) to what square matmuls
of the same type reached in the same run: nothing that is computed twice counts. TensorFlow is not
imported.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.timing import matmul_speed, medians, one_device_mesh
from codemix.models.config import ModelConfig
from codemix.models.reference import make_plain_step
from codemix.parallel.sharding import batch_sharding
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, init_state
from codemix.training.train_step import make_train_step

# 8.4M parameters, for which other libraries' steps are known on two CPU cores.
MODEL = ModelConfig(
  vocab_size=8192, layers=6, width=256, ffn_width=1024, heads=4, head_dim=64, dtype='float32'
)
RATE = np.float32(1e-3)
PLAIN_BYTES = 2**30  # where a plain step would hold more at a time, it is left out
GOAL, GOAL_GB = 1.5, 0.6  # of MODEL on a CPU


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    rows, length: of the batch.
    documents: of a row, of equal length.
    repeats: of each step, of which the median is said.
  """

  rows: int = 8
  length: int = 512
  documents: int = 1
  repeats: int = 10

  def __post_init__(self) -> None:
    require_counts(self)


def measure(folder: Path, size: Size, model: ModelConfig = MODEL) -> Iterator[Figure]:
  """Yields the figures of the step, of the plain one where it fits, and of both; `folder` is not used."""
  del folder
  mesh = one_device_mesh()
  batch = jax.device_put(random_batch(size, model.vocab_size), batch_sharding(mesh))
  goals = model == MODEL and jax.default_backend() == 'cpu'
  runs = {'codemix': TrainSteps(model, mesh, batch)}
  if _plain_bytes(size, model) <= PLAIN_BYTES:
    runs['plain'] = _Plain(model, mesh, batch)
  dtype = jnp.dtype(model.dtype)
  before = matmul_speed(dtype)
  taken = medians(runs, size.repeats, warm_up=2)
  ceiling = max(before, matmul_speed(dtype))

  tokens = size.rows * size.length
  flops = tokens * model.flops_per_token(size.length)['total']
  yield Figure(f'{model.dtype} matmuls before or after the steps', ceiling / 1e12, 'TFLOP/s')
  for name, run in runs.items():
    memory = run.step.memory_analysis().temp_size_in_bytes / 1e9
    goal = {'goal': GOAL_GB, 'more_is_better': False} if goals and name == 'codemix' else {}
    yield Figure(f'{name}: a step', 1e3 * taken[name], 'ms')
    yield Figure(f'{name}: tokens', tokens / taken[name], 'tokens/s')
    yield Figure(f'{name}: MFU against those matmuls', 100 * flops / taken[name] / ceiling, '%')
    yield Figure(f'{name}: temporaries', memory, 'GB', **goal)
  if 'plain' in runs:
    ratio = taken['plain'] / taken['codemix']
    yield Figure('times as fast as the plain step', ratio, 'x', goal=GOAL if goals else None)


def _plain_bytes(size: Size, model: ModelConfig) -> int:
  """The larger of what a plain step holds in float32: all logits, or the scores of all layers."""
  scores = model.layers * model.heads * size.length  # of a token, with all of its row
  return 4 * size.rows * size.length * max(model.vocab_size, scores)


class TrainSteps:
  """The compiled train step, and the state that each call of it brings one step further."""

  def __init__(self, model: ModelConfig, mesh: Mesh, batch: dict[str, jax.Array]):
    optimizer = Optimizer()
    self.state: TrainState = init_state(model, optimizer, 0, Placement(mesh))
    self.batch = batch
    lowered = make_train_step(model, optimizer, Placement(mesh), bos_id=1).lower(self.state, batch, RATE)
    self.step = lowered.compile()

  def __call__(self) -> TrainState:
    self.state, _ = self.step(self.state, self.batch, RATE)
    return self.state


class _Plain:
  """The plain step, with its parameters and moments."""

  def __init__(self, model: ModelConfig, mesh: Mesh, batch: dict[str, jax.Array]):
    optimizer = make_optimizer(Optimizer())
    at_rate = optax.GradientTransformation(
      optimizer.init, functools.partial(optimizer.update, rate=RATE)
    )
    # On a mesh of one device parameters are like any array.
    self.params = init_state(model, Optimizer(), 0, Placement(mesh)).params
    self.moments = at_rate.init(self.params)
    self.batch = batch
    step = make_plain_step(model, at_rate)
    self.step = step.lower(self.params, self.moments, batch).compile()

  def __call__(self):
    self.params, self.moments, _ = self.step(self.params, self.moments, self.batch)
    return self.params


def random_batch(size: Size, vocabulary: int) -> dict[str, np.ndarray]:
  """Rows of random tokens, each of so many documents of one length."""
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
