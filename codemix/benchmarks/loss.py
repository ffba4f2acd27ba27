"""The chunked cross-entropy beside the reference's, which holds the logits of all tokens: time and memory.

Both compute the loss and its gradients by the activations and by the head. They are timed in turn at
two sizes that the reference fits, beside a square matmul, and compiled at one that it does not fit.
Float32 on CPUs, bfloat16 activations elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.matmul import default_side, medians_and_peak
from codemix.benchmarks.measuring import in_fresh_process, peak_growth, usual_dtype
from codemix.models import reference
from codemix.models.loss import chunked_cross_entropy

# Vocabulary, tokens and width of a decoder of 8.4M parameters on a batch of 8 x 512.
SMALL = 8192, 4096, 256


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    vocabulary: rows of the head.
    tokens: of the batch that both losses are only compiled for.
    width: of the activations.
    timed_tokens: of the batch that both losses are timed on.
    chunk: tokens whose logits are in memory at once; 0: the default of the loss.
    repeats: of each measurement; the median counts.
  """

  vocabulary: int = 256_000
  tokens: int = 8192
  width: int = 1024
  timed_tokens: int = 256
  chunk: int = 0
  repeats: int = 5

  may_be_zero = ('chunk',)


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the times, then the memory; `folder` is not used."""
  del folder
  yield from _times(*SMALL, size)
  yield from _times(size.vocabulary, size.timed_tokens, size.width, size)
  yield from _memory(size)


def _plain_loss(x_1xNxD, head_VxD, targets_1xN, weights_1xN) -> jax.Array:
  head_VxD = head_VxD.astype(x_1xNxD.dtype)
  logits = jnp.einsum('bnd,vd->bnv', x_1xNxD, head_VxD, preferred_element_type=jnp.float32)
  return reference.cross_entropy(logits, targets_1xN, weights_1xN)[0]


def _losses(size: Size) -> dict[str, Callable]:
  return {
    'plain': _plain_loss,
    'chunked': lambda *inputs: chunked_cross_entropy(*inputs, chunk=size.chunk or None)[0],
  }


def _times(vocabulary: int, tokens: int, width: int, size: Size) -> Iterator[Figure]:
  inputs = jax.block_until_ready(_inputs(vocabulary, tokens, width))
  runs = {name: functools.partial(_compile(loss, inputs), *inputs) for name, loss in _losses(size).items()}
  taken, peak = medians_and_peak(runs, size.repeats, inputs[0].dtype)
  flops = 6 * vocabulary * width * tokens  # three matmuls: logits, and both gradients
  shape = _shape(inputs)
  for name in runs:
    yield Figure(f'{shape}: {name}', 1e3 * taken[name], 'ms')
    yield Figure(f'{shape}: {name}, its matmuls', flops / taken[name] / 1e9, 'GFLOP/s')
  side = default_side()
  yield Figure(f'{shape}: matmuls of {side} x {side} before or after', peak / 1e9, 'GFLOP/s')
  ratio = taken['chunked'] / taken['plain']
  yield Figure(f'{shape}: time of chunked to plain', ratio, 'x', goal=1.1, more_is_better=False)


def _memory(size: Size) -> Iterator[Figure]:
  inputs = jax.eval_shape(functools.partial(_inputs, size.vocabulary, size.tokens, size.width))
  shape = _shape(inputs)
  for name, loss in _losses(size).items():
    sizes = _compile(loss, inputs).memory_analysis()
    goal = {'goal': 1.5, 'more_is_better': False} if name == 'chunked' else {}
    yield Figure(f'{shape}: temporaries of {name}', sizes.temp_size_in_bytes / 1e9, 'GB', **goal)
    both = sizes.temp_size_in_bytes + sizes.output_size_in_bytes
    yield Figure(f'{shape}: temporaries and gradients of {name}', both / 1e9, 'GB', **goal)
  if jax.default_backend() == 'cpu':
    grown = in_fresh_process(_resident, size)
    yield Figure(f'{shape}: the process grew by', grown / 1e9, 'GB', goal=1.5, more_is_better=False)


def _resident(size: Size) -> int:
  """Bytes by which the process grows at most while it computes the chunked loss and its gradients."""
  inputs = jax.block_until_ready(_inputs(size.vocabulary, size.tokens, size.width))
  compiled = _compile(_losses(size)['chunked'], inputs)
  return peak_growth(lambda: jax.block_until_ready(compiled(*inputs)))


def _inputs(vocabulary: int, tokens: int, width: int) -> tuple[jax.Array, ...]:
  """Activations, head, targets and weights; the tokens are one row."""
  keys = jax.random.split(jax.random.key(0), 3)
  return (
    jax.random.normal(keys[0], (1, tokens, width), usual_dtype()),
    width**-0.5 * jax.random.normal(keys[1], (vocabulary, width), jnp.float32),
    jax.random.randint(keys[2], (1, tokens), 0, vocabulary),
    jnp.ones((1, tokens), jnp.float32),
  )


def _compile(loss: Callable, inputs: tuple) -> jax.stages.Compiled:
  return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*inputs).compile()


def _shape(inputs: tuple) -> str:
  (_, tokens, width), vocabulary = inputs[0].shape, inputs[1].shape[0]
  return f'{np.dtype(inputs[0].dtype).name}, V {vocabulary:,}, {tokens:,} tokens, d {width:,}'
