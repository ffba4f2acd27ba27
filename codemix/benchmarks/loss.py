"""The chunked cross-entropy beside the plain one, which holds the logits of all tokens: time and memory.

Both compute the loss and its gradients by the activations and by the head. They are timed in turn at
two sizes where the plain one fits, beside a square matmul, and compiled at one where it does not.
Float32 on CPUs, bfloat16 activations elsewhere, as models are trained there.
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.memory import peak_growth
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.timing import default_side, matmul_speed, medians, usual_dtype
from codemix.models.loss import chunked_cross_entropy

# Vocabulary, tokens and width of a decoder of 8.4M parameters on a batch of 8 x 512.
SMALL = 8192, 4096, 256


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    vocabulary: rows of the head.
    tokens: of the batch that is only compiled for the plain loss.
    width: of the activations.
    timed_tokens: of the batch that both losses are timed on.
    chunk: tokens whose logits are in memory at once; 0: what the loss chooses.
    repeats: of each measurement, of which the median is said.
  """

  vocabulary: int = 256_000
  tokens: int = 8192
  width: int = 1024
  timed_tokens: int = 256
  chunk: int = 0
  repeats: int = 5

  def __post_init__(self) -> None:
    require_counts(self, may_be_zero=('chunk',))


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the times, then the memory; `folder` is not used."""
  del folder
  yield from _times(*SMALL, size)
  yield from _times(size.vocabulary, size.timed_tokens, size.width, size)
  yield from _memory(size)


def plain_loss(x_NxD, head_VxD, targets_N, weights_N) -> jax.Array:
  """Weighted sum of token losses, from the logits of all tokens."""
  head_VxD = head_VxD.astype(x_NxD.dtype)
  logits = jnp.einsum('nd,vd->nv', x_NxD, head_VxD, preferred_element_type=jnp.float32)
  hit_N = jnp.take_along_axis(logits, targets_N[:, None], axis=-1)[:, 0]
  return jnp.sum(weights_N * (jax.nn.logsumexp(logits, axis=-1) - hit_N))


def chunked_loss(chunk: int, x_NxD, head_VxD, targets_N, weights_N) -> jax.Array:
  """The same, as training computes it; the tokens are one row."""
  row = x_NxD[None], head_VxD, targets_N[None], weights_N[None]
  return chunked_cross_entropy(*row, chunk=chunk or None)[0]


def _times(vocabulary: int, tokens: int, width: int, size: Size) -> Iterator[Figure]:
  inputs = jax.block_until_ready(_inputs(vocabulary, tokens, width))
  chunked = functools.partial(chunked_loss, size.chunk)
  runs = {
    'plain': functools.partial(_compile(plain_loss, inputs), *inputs),
    'chunked': functools.partial(_compile(chunked, inputs), *inputs),
  }
  before = matmul_speed(inputs[0].dtype)
  seconds = medians(runs, size.repeats)
  ceiling = max(before, matmul_speed(inputs[0].dtype))
  flops = 6 * vocabulary * width * tokens  # three matmuls: logits, and both gradients
  shape = _shape(inputs)
  for name in ('plain', 'chunked'):
    yield Figure(f'{shape}: {name}', 1e3 * seconds[name], 'ms')
    yield Figure(f'{shape}: {name}, its matmuls', flops / seconds[name] / 1e9, 'GFLOP/s')
  side = default_side()
  yield Figure(f'{shape}: matmuls of {side} x {side} before or after', ceiling / 1e9, 'GFLOP/s')
  ratio = seconds['chunked'] / seconds['plain']
  yield Figure(f'{shape}: time of chunked to plain', ratio, 'x', goal=1.1, more_is_better=False)


def _memory(size: Size) -> Iterator[Figure]:
  inputs = jax.eval_shape(functools.partial(_inputs, size.vocabulary, size.tokens, size.width))
  shape = _shape(inputs)
  chunked = functools.partial(chunked_loss, size.chunk)
  for name, loss in (('plain', plain_loss), ('chunked', chunked)):
    sizes = _compile(loss, inputs).memory_analysis()
    goal = {'goal': 1.5, 'more_is_better': False} if name == 'chunked' else {}
    yield Figure(f'{shape}: temporaries of {name}', sizes.temp_size_in_bytes / 1e9, 'GB', **goal)
    both = sizes.temp_size_in_bytes + sizes.output_size_in_bytes
    yield Figure(f'{shape}: temporaries and gradients of {name}', both / 1e9, 'GB', **goal)
  if jax.default_backend() == 'cpu':
    with multiprocessing.get_context('spawn').Pool(1) as pool:
      grown = pool.apply(_resident, (size,))
    yield Figure(f'{shape}: the process grew by', grown / 1e9, 'GB', goal=1.5, more_is_better=False)


def _resident(size: Size) -> int:
  """Bytes by which a process grows at most while it runs the chunked loss, gradients included."""
  inputs = jax.block_until_ready(_inputs(size.vocabulary, size.tokens, size.width))
  compiled = _compile(functools.partial(chunked_loss, size.chunk), inputs)
  return peak_growth(lambda: jax.block_until_ready(compiled(*inputs)))


def _inputs(vocabulary: int, tokens: int, width: int) -> tuple[jax.Array, ...]:
  """Activations, head, targets and weights."""
  keys = jax.random.split(jax.random.key(0), 3)
  return (
    jax.random.normal(keys[0], (tokens, width), usual_dtype()),
    width**-0.5 * jax.random.normal(keys[1], (vocabulary, width), jnp.float32),
    jax.random.randint(keys[2], (tokens,), 0, vocabulary),
    jnp.ones(tokens, jnp.float32),
  )


def _compile(loss: Callable, inputs: tuple) -> jax.stages.Compiled:
  return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*inputs).compile()


def _shape(inputs: tuple) -> str:
  (tokens, width), vocabulary = inputs[0].shape, inputs[1].shape[0]
  return f'{np.dtype(inputs[0].dtype).name}, V {vocabulary:,}, {tokens:,} tokens, d {width:,}'
