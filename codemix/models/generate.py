"""Generates continuations of prompts, greedily or by sampling, with a key/value cache."""

from __future__ import annotations

import collections
import functools
import zlib
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.models import attention, decoder, sampling
from codemix.models.config import ModelConfig
from codemix.numerics import pinned
from codemix.parallel.sharding import constrain

ROWS = 8  # prompts of a batch
SHORTEST = 16  # tokens; shorter prompts are padded to this
NOTHING = -1  # in place of tokens after the end


@pinned()
def generate(
  config: ModelConfig,
  params: decoder.Params,
  prompts: Sequence[Sequence[int]],
  *,
  max_new_tokens: int,
  bos_id: int,
  eos_id: int,
  temperature: float = 0.0,
  top_k: int = 0,
  top_p: float = 1.0,
  seed: int = 0,
  mesh: Mesh | None = None,
) -> list[list[int]]:
  """The continuation of each prompt: its new tokens, up to and without EOS.

  A continuation does not depend on the other prompts or on their order: each is computed in a batch of
  `ROWS` rows, padded to a length that depends on its own, with random numbers that depend on `seed`,
  its tokens, and how often the same prompt came before. So a prompt given n times yields n samples.

  Raises UserError: an option is out of range, or a token id is not in the vocabulary.

  Args:
    prompts: token ids without BOS, which is put before each prompt, as in training.
    max_new_tokens: tokens after which a continuation ends without EOS.
    temperature: 0: the likeliest token (of equals, the lowest id); else the logits are divided by it.
    top_k: sample only from this many likeliest tokens; 0: from all.
    top_p: sample only from the fewest tokens that together have this probability; 1: from all.
    mesh: the mesh that the parameters are sharded over, or None.
  """
  _check_options(max_new_tokens, temperature, top_k, top_p, seed)
  for number, prompt in enumerate(prompts):
    _check_ids(f'prompt {number}', prompt, config.vocab_size)
  _check_ids('bos_id, eos_id', [bos_id, eos_id], config.vocab_size)
  rows = [np.asarray([bos_id, *prompt], np.int32) for prompt in prompts]
  keys = list(_keys(rows, seed))
  continuations: list[list[int]] = [[] for _ in rows]
  for length, members in _batches(rows):
    # Copies of the first prompt fill the batch; their results are dropped.
    filled = members + members[:1] * (ROWS - len(members))
    tokens_BxM = _continue(
      config,
      params,
      np.stack([np.pad(rows[i], (0, length - len(rows[i]))) for i in filled]),
      np.asarray([len(rows[i]) for i in filled], np.int32),
      jnp.stack([keys[i] for i in filled]),
      max_new_tokens,
      eos_id,
      (temperature, top_k, top_p),
      new_length=_power_of_two(max_new_tokens),
      greedy=temperature == 0,
      mesh=mesh,
    )
    for i, tokens_M in zip(members, np.asarray(tokens_BxM).tolist(), strict=False):
      ends = (j for j, token in enumerate(tokens_M) if token in (eos_id, NOTHING))
      continuations[i] = tokens_M[: next(ends, max_new_tokens)]
  return continuations


@functools.partial(jax.jit, static_argnames=('config', 'new_length', 'greedy', 'mesh'))
def _continue(
  config, params, prompts_BxP, lengths_B, keys_B, limit, eos_id, options, *, new_length, greedy, mesh
) -> jax.Array:
  """New tokens [B, new_length], `NOTHING` after EOS and after `limit` steps; `options` are those of `sample`."""
  B, P = prompts_BxP.shape
  model = decoder.bind(config, params)
  rows_B = jnp.arange(B)

  def choose(x_BxD, step):
    logits_BxV = decoder.logits(config, params, x_BxD)
    if greedy:
      return logits_BxV.argmax(axis=-1)
    step_keys_B = jax.vmap(jax.random.fold_in, (0, None))(keys_B, step)
    return sampling.sample(step_keys_B, logits_BxV, *options)

  def read_prompt(q, k, v, cache):
    del cache  # there is none yet
    room = [(0, 0), (0, new_length), (0, 0), (0, 0)]
    context = attention.attend(q, k, v, None, implementation='xla')
    return context, (jnp.pad(k, room), jnp.pad(v, room))

  def read_token(position_B, q, k, v, cache):
    # Later places hold padding, or nothing: they are masked, and overwritten in their turn.
    k_BxTxGxK, v_BxTxGxK = (
      old.at[rows_B, position_B].set(new[:, 0]) for old, new in zip(cache, (k, v), strict=True)
    )
    seen_Bx1xT = jnp.arange(P + new_length) <= position_B[:, None, None]
    context = attention.masked_attention(q, k_BxTxGxK, v_BxTxGxK, seen_Bx1xT)
    return context, (k_BxTxGxK, v_BxTxGxK)

  def goes_on(state):
    step, _, _, ended_B, _ = state
    return (step < limit) & ~ended_B.all()

  def next_token(state):
    step, caches, token_B, ended_B, tokens_BxM = state
    position_B = lengths_B + step - 1
    read = functools.partial(read_token, position_B)
    x_Bx1xD, caches = model(token_B[:, None], position_B[:, None], read, caches)
    token_B = choose(x_Bx1xD[:, 0], step)
    tokens_BxM = tokens_BxM.at[:, step].set(jnp.where(ended_B, NOTHING, token_B))
    return step + 1, caches, token_B, ended_B | (token_B == eos_id), tokens_BxM

  positions_BxP = jnp.broadcast_to(jnp.arange(P), (B, P))
  x_BxPxD, caches = model(prompts_BxP, positions_BxP, read_prompt)
  token_B = choose(x_BxPxD[rows_B, lengths_B - 1], 0)
  tokens_BxM = jnp.full((B, new_length), NOTHING).at[:, 0].set(token_B)
  state = 1, caches, token_B, token_B == eos_id, tokens_BxM
  tokens_BxM = jax.lax.while_loop(goes_on, next_token, state)[-1]
  return constrain(tokens_BxM, mesh, None, None)  # replicated on every process


def _batches(rows: Sequence[np.ndarray]) -> Iterator[tuple[int, list[int]]]:
  """For each batch, the padded length and at most `ROWS` row numbers."""
  by_length = collections.defaultdict(list)
  for number, row in enumerate(rows):
    by_length[_power_of_two(max(len(row), SHORTEST))].append(number)
  for length, numbers in sorted(by_length.items()):
    for start in range(0, len(numbers), ROWS):
      yield length, numbers[start : start + ROWS]


def _keys(rows: Sequence[np.ndarray], seed: int) -> Iterator[jax.Array]:
  seen: collections.Counter[bytes] = collections.Counter()
  for row in rows:
    content = row.tobytes()
    key = jax.random.fold_in(jax.random.key(seed, impl='threefry2x32'), zlib.crc32(content))
    yield jax.random.fold_in(key, seen[content])
    seen[content] += 1


def _power_of_two(number: int) -> int:
  """The next power of two, so that few shapes are compiled."""
  return 1 << (number - 1).bit_length()


def _check_options(max_new_tokens: int, temperature: float, top_k: int, top_p: float, seed: int) -> None:
  checks = {
    'max_new_tokens': (max_new_tokens, max_new_tokens >= 1, 'at least 1'),
    'temperature': (temperature, 0 <= temperature < float('inf'), '0 (greedy) or more'),
    'top_k': (top_k, top_k >= 0, 'at least 0 (0: all tokens)'),
    'top_p': (top_p, 0 < top_p <= 1, 'above 0 and at most 1'),
    'seed': (seed, 0 <= seed < 2**32, 'from 0 to 4294967295'),
  }
  for name, (value, allowed, rule) in checks.items():
    if not allowed:
      raise UserError(f'{name} is {value}: it must be {rule}.')


def _check_ids(what: str, ids: Sequence[int], vocab_size: int) -> None:
  wrong = [int(token) for token in ids if not 0 <= token < vocab_size]
  if wrong:
    raise UserError(
      f'{what} has token id {wrong[0]}, and the model knows 0 to {vocab_size - 1}: '
      'was the text encoded with the tokenizer that the model was trained with?'
    )
