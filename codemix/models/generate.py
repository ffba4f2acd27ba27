"""Completes prompts, greedily or by sampling, with a key/value cache and continuous batching.

A fixed number of slots each hold one completion. A slot whose completion has ended takes the next prompt while
the others go on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.models import cached_steps, decoder
from codemix.models.cached_steps import NOTHING, TILE, Slots
from codemix.models.config import ModelConfig
from codemix.models.decoding import Decoding
from codemix.numerics import pinned
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import RULES, ShardingRules, batch_shards

SLOTS = {'cpu': 16}  # completions computed at a time; elsewhere:
ACCELERATOR_SLOTS = 64
CACHE_BYTES = 2**32  # of keys and values in a batch shard, where as many slots would need more
CHUNK = 16  # steps between two looks for stops
SHORTEST = 16  # tokens; shorter prompts are padded to this


class Generated(NamedTuple):
  """The new tokens of a completion, EOS included, and what ended it: 'eos', 'stop' or 'length'."""

  ids: list[int]
  ended_by: str


# (new tokens, how many of them were searched before) -> the number of tokens after which the completion ends, if any.
Stop = Callable[[list[int], int], int | None]


@dataclasses.dataclass
class _Running:
  """A completion that is in a slot."""

  prompt: int
  sample: int
  ids: list[int]


@pinned()
def generate(
  config: ModelConfig,
  params: decoder.Params,
  prompts: Sequence[Sequence[int]],
  keys: Sequence[int],
  decoding: Decoding,
  *,
  eos_id: int | None,
  stop: Stop = lambda ids, searched: None,
  slots: int | None = None,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
  show: Callable[[int], None] = lambda done: None,
) -> list[list[Generated]]:
  """`decoding.samples` completions of each prompt.

  The random numbers of a token depend on `decoding.seed`, the prompt's key, the number of the sample and the
  step. A completion depends neither on the other prompts nor on their order. Another number of `slots` or of
  devices changes only the rounding of sums.

  Raises UserError: a prompt is empty, or a token id is not in the vocabulary.

  Args:
    prompts: token ids, BOS included, as in training.
    keys: of each prompt, 0 to 2^32 - 1.
    decoding: its `stop` is not read here: `stop` is called instead, after each `CHUNK` tokens.
    eos_id: ends a completion; None: only its length and `stop` do.
    slots: completions computed at a time, rounded up to a multiple of the mesh's batch shards; None for
      `slots_that_fit` the longest prompt.
    mesh, rules: the devices, and how the parameters are sharded over them.
    show: called with the number of completions done so far, each time that `CHUNK` tokens were made.
  """
  rows = [np.asarray(prompt, np.int32) for prompt in prompts]
  for number, row in enumerate(rows):
    _check_ids(f'prompt {number}', row, config.vocab_size)
  if eos_id is not None:
    _check_ids('eos_id', [eos_id], config.vocab_size)
  if not rows:
    return []
  engine = _Engine(config, params, rows, keys, decoding, eos_id, stop, slots, mesh, rules)
  results: list[list[Generated | None]] = [[None] * decoding.samples for _ in rows]
  done = 0
  for ended in engine.run():
    for prompt, sample, generated in ended:
      results[prompt][sample] = generated
    done += len(ended)
    show(done)
  return results


def slots_that_fit(config: ModelConfig, length: int, mesh: Mesh | None = None) -> int:
  """Completions to compute at a time: 16 on CPUs and 64 elsewhere, fewer if their caches exceed CACHE_BYTES.

  Args:
    length: tokens of the longest prompt and its completion together.
  """
  of_token = 2 * config.layers * config.key_value_heads * config.head_dim * jax.numpy.dtype(config.dtype).itemsize
  fitting = batch_shards(mesh) * max(CACHE_BYTES // (of_token * length), 1)
  return min(SLOTS.get(platform_of(mesh), ACCELERATOR_SLOTS), fitting)


class _Engine:
  """The slots, on the host and on the devices, during one call of `generate`."""

  def __init__(self, config, params, rows, keys, decoding, eos_id, stop, slots, mesh, rules):
    self._config, self._decoding, self._eos_id, self._stop = config, decoding, eos_id, stop
    self._params = cached_steps.compute_params(config, params)
    self._rows, self._keys = rows, np.asarray(keys, np.uint32)
    self._place = {'mesh': mesh, 'rules': rules}
    self._shards = batch_shards(mesh)
    longest = _bucket(max(map(len, rows)) + decoding.max_new_tokens)
    slots = slots or slots_that_fit(config, longest, mesh)
    self._slots: list[_Running | None] = [None] * (-(-slots // self._shards) * self._shards)
    self._cache = cached_steps.empty_cache(config, len(self._slots), -(-longest // TILE) * TILE, **self._place)
    # The longest first: a step costs what its longest completion needs.
    self._order = sorted(range(len(rows)), key=lambda number: (-len(rows[number]), number))
    self._ahead: dict[int, tuple] = {}  # prompt -> (what `prefill` returned, its row there)

  def run(self) -> Iterator[list[tuple[int, int, Generated]]]:
    """(prompt, sample, completion) of those that end with each chunk."""
    waiting = iter([(prompt, sample) for prompt in self._order for sample in range(self._decoding.samples)])
    while True:
      for slot, running in enumerate(self._slots):
        if running is None and (new := next(waiting, None)):
          self._admit(slot, *new)
      if not any(self._slots):
        return
      searched = [running and len(running.ids) for running in self._slots]
      for running, tokens in zip(self._slots, self._chunk(), strict=True):
        if running:
          running.ids += [token for token in tokens if token != NOTHING]
      finished = []
      for slot, running in enumerate(self._slots):
        if running and (ended := self._ended(running.ids, searched[slot])):
          self._slots[slot] = None
          finished.append((running.prompt, running.sample, ended))
      yield finished

  def _admit(self, slot: int, prompt: int, sample: int) -> None:
    self._slots[slot] = _Running(prompt, sample, [])
    if len(self._rows[prompt]) > 1:  # the last token is the first that `decode` reads
      if prompt not in self._ahead:
        self._ahead = self._prefill(prompt)
      prefilled, row = self._ahead[prompt]
      self._cache = cached_steps.insert(self._cache, prefilled, np.int32(row), np.int32(slot))

  def _prefill(self, first: int) -> dict[int, tuple]:
    """The cache of this prompt, and of the next ones of like length: one on each batch shard of the mesh."""
    length = _bucket(len(self._rows[first]) - 1)
    at = self._order.index(first)
    alike = [
      prompt for prompt in self._order[at : at + self._shards]
      if len(self._rows[prompt]) > 1 and _bucket(len(self._rows[prompt]) - 1) == length
    ]
    tokens_BxL = np.zeros((self._shards, length), np.int32)
    for row, prompt in enumerate(alike):
      ids = self._rows[prompt][:-1]
      tokens_BxL[row, : len(ids)] = ids
    prefilled = cached_steps.prefill(self._config, self._params, tokens_BxL, **self._place)
    return {prompt: (prefilled, row) for row, prompt in enumerate(alike)}

  def _chunk(self) -> list[list[int]]:
    options = self._decoding
    self._cache, tokens_SxC = cached_steps.decode(
      self._config,
      self._params,
      self._cache,
      self._state(),
      np.int32(CHUNK),
      np.int32(NOTHING if self._eos_id is None else self._eos_id),
      np.uint32(options.seed),
      (np.float32(options.temperature), np.int32(options.top_k), np.float32(options.top_p)),
      chunk=CHUNK,
      greedy=options.temperature == 0,
      **self._place,
    )
    return np.asarray(jax.device_get(tokens_SxC)).tolist()

  def _state(self) -> Slots:
    state = Slots(*(np.zeros(len(self._slots), np.int32) for _ in range(4)), *(np.zeros(len(self._slots), np.uint32) for _ in range(2)))
    for slot, running in enumerate(self._slots):
      if running:
        row, new = self._rows[running.prompt], len(running.ids)
        state.token[slot] = running.ids[-1] if new else row[-1]
        state.position[slot] = len(row) - 1 + new
        state.step[slot] = new
        state.left[slot] = self._decoding.max_new_tokens - new
        state.key[slot] = self._keys[running.prompt]
        state.sample[slot] = running.sample
    return state

  def _ended(self, ids: list[int], searched: int) -> Generated | None:
    if (stopped := self._stop(ids, searched)) is not None:
      return Generated(ids[:stopped], 'stop')
    if ids[-1] == self._eos_id:
      return Generated(ids, 'eos')
    if len(ids) >= self._decoding.max_new_tokens:
      return Generated(ids, 'length')
    return None


def _bucket(number: int) -> int:
  """The next power of two, or 1.5 times one, so that few shapes are compiled."""
  power = 1 << (max(number, SHORTEST) - 1).bit_length()
  return power * 3 // 4 if number <= power * 3 // 4 and power > SHORTEST else power


def _check_ids(what: str, ids: Sequence[int], vocab_size: int) -> None:
  wrong = [int(token) for token in ids if not 0 <= token < vocab_size]
  if wrong:
    raise UserError(
      f'{what} has token id {wrong[0]}, and the model knows 0 to {vocab_size - 1}: '
      'was the text encoded with the tokenizer that the model was trained with?'
    )
  if not len(ids):
    raise UserError(f'{what} has no token: begin it with BOS.')
