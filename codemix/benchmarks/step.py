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
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.matmul import seconds, square_products
from codemix.benchmarks.plain_step import make_plain_step
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.train_state import TrainState, init_state
from codemix.training.train_step import make_train_step

# 8.4M parameters, for which other libraries' steps are known on two CPU cores.
MODEL = ModelConfig(
  vocab_size=8192, layers=6, width=256, ffn_width=1024, heads=4, head_dim=64, dtype='float32'
)
RATE = np.float32(1e-3)
PLAIN_LOGITS_BYTES = 2**30  # where a plain step would hold more, it is left out
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


def measure(folder: Path, size: Size, model: ModelConfig = MODEL) -> Iterator[Figure]:
  """Yields the figures of the step, of the plain one where it fits, and of both; `folder` is not used."""
  del folder
  mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
  batch = jax.device_put(_batch(size, model.vocab_size), batch_sharding(mesh))
  goals = model == MODEL and jax.default_backend() == 'cpu'
  runs = {'codemix': _Ours(model, mesh, batch)}
  if 4 * size.rows * size.length * model.vocab_size <= PLAIN_LOGITS_BYTES:
    runs['plain'] = _Plain(model, batch)
  multiply, multiply_flops = square_products(jnp.dtype(model.dtype))
  taken = _medians({**runs, 'matmul': multiply}, size.repeats)

  tokens = size.rows * size.length
  flops = tokens * model.flops_per_token(size.length)['total']
  ceiling = multiply_flops / taken['matmul']
  yield Figure(f'{model.dtype} matmuls in turn with the steps', ceiling / 1e12, 'TFLOP/s')
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


class _Ours:
  """The train step, with its state."""

  def __init__(self, model: ModelConfig, mesh, batch: dict[str, jax.Array]):
    optimizer = Optimizer()
    self.state: TrainState = init_state(model, optimizer, 0, mesh)
    self.batch = batch
    lowered = make_train_step(model, optimizer, mesh, bos_id=1).lower(self.state, batch, RATE)
    self.step = lowered.compile()

  def __call__(self) -> TrainState:
    self.state, _ = self.step(self.state, self.batch, RATE)
    return self.state


class _Plain:
  """The plain step, with its parameters and moments."""

  def __init__(self, model: ModelConfig, batch: dict[str, jax.Array]):
    optimizer = make_optimizer(Optimizer())
    at_rate = optax.GradientTransformation(
      optimizer.init, functools.partial(optimizer.update, rate=RATE)
    )
    # A mesh of one device: its parameters are like any array.
    mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
    self.params = init_state(model, Optimizer(), 0, mesh).params
    self.moments = at_rate.init(self.params)
    self.batch = batch
    step = make_plain_step(model, at_rate)
    self.step = step.lower(self.params, self.moments, batch).compile()

  def __call__(self):
    self.params, self.moments, _ = self.step(self.params, self.moments, self.batch)
    return self.params


def _batch(size: Size, vocabulary: int) -> dict[str, np.ndarray]:
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


def _medians(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
  """Seconds of each, all in turn; the first two turns are for warming up."""
  taken = [{name: seconds(run) for name, run in runs.items()} for _ in range(repeats + 2)][2:]
  return {name: statistics.median(turn[name] for turn in taken) for name in runs}
