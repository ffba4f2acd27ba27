"""A completion follows from the model, the prompt, the key and the seed, and from nothing else."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.models import decoder, reference
from codemix.models.cached_steps import TILE, empty_cache
from codemix.models.config import ModelConfig
from codemix.models.decoding import Decoding
from codemix.models.generate import CACHE_BYTES, CHUNK, generate, slots_that_fit
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import parameter_shardings
from tests.models.random_inputs import random_params

BOS, EOS = 1, 2
NEW = CHUNK + 5  # more than a chunk
CONFIG = ModelConfig(
  48, layers=2, width=16, ffn_width=24, heads=4, head_dim=4, kv_heads=2, dtype='float32'
)
# With BOS: one token alone, several padded lengths, and more than a tile of the cache.
PROMPT_LENGTHS = [0, 1, 5, 15, 16, 20, 3, 3, 9, 2, 4, TILE - 2, TILE + 40]
SAMPLED = Decoding(max_new_tokens=NEW, temperature=1.0, top_k=20, top_p=0.9, seed=5)
GREEDY = Decoding(max_new_tokens=NEW)

logits = jax.jit(reference.logits, static_argnums=0)


def completions(config, params, prompts, decoding=GREEDY, keys=None, **options):
  """[prompt][sample] -> new tokens, of prompts without BOS."""
  rows = [[BOS, *prompt] for prompt in prompts]
  keys = range(len(rows)) if keys is None else keys
  completed = generate(config, params, rows, keys, decoding, **{'eos_id': EOS, 'slots': 4} | options)
  return [[generated.ids for generated in samples] for samples in completed]


@pytest.fixture(scope='module')
def params():
  return random_params(CONFIG)


@pytest.fixture(scope='module')
def prompts():
  rng = np.random.default_rng(1)
  return [rng.integers(3, 48, length).tolist() for length in PROMPT_LENGTHS]


def greedy_without_cache(config, params, prompt):
  """The whole row again for each token."""
  tokens = [BOS, *prompt]
  while len(tokens) < 1 + len(prompt) + NEW and tokens[-1] != EOS:
    row = np.zeros((1, 2 * TILE), np.int32)
    row[0, : len(tokens)] = tokens
    logits_1xLxV = logits(config, params, row, np.ones_like(row), np.arange(row.size)[None])
    tokens.append(int(logits_1xLxV[0, len(tokens) - 1].argmax()))
  return tokens[1 + len(prompt) :]


@pytest.mark.parametrize(
  'config',
  [CONFIG, dataclasses.replace(CONFIG, block='serial', norm='rmsnorm', qk_norm=True, tied=False, scan=False)],
  ids=['parallel', 'serial'],
)
def test_greedy_is_the_argmax_of_the_reference_at_each_token(config, prompts):
  params = random_params(config)
  expected = [[greedy_without_cache(config, params, prompt)] for prompt in prompts]
  assert completions(config, params, prompts) == expected
  assert len({tuple(tokens) for (tokens,) in expected}) > len(prompts) / 2


@pytest.mark.parametrize('decoding', [GREEDY, SAMPLED], ids=['greedy', 'sampled'])
@pytest.mark.parametrize('slots', [1, 3, 16])
def test_the_number_of_slots_changes_nothing(params, prompts, decoding, slots):
  assert completions(CONFIG, params, prompts, decoding, slots=slots) == completions(CONFIG, params, prompts, decoding)


@pytest.mark.parametrize('length', [1_024, 8_192, 10**9])
def test_the_caches_of_all_slots_fit_unless_there_is_but_one(length):
  large = dataclasses.replace(CONFIG, layers=24, heads=16, kv_heads=16, head_dim=64, dtype='bfloat16')
  slots = slots_that_fit(large, length)
  cache = jax.eval_shape(lambda: empty_cache(large, slots, length, None))
  assert sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(cache)) <= CACHE_BYTES or slots == 1
  assert slots_that_fit(CONFIG, NEW) == 16 and slots_that_fit(large, 8_192) < slots_that_fit(large, 1_024)


@settings(max_examples=15, deadline=None)
@given(order=st.lists(st.integers(0, len(PROMPT_LENGTHS) - 1), min_size=1, max_size=9), samples=st.integers(1, 3), sampled=st.booleans())
def test_the_other_prompts_and_samples_change_nothing(params, prompts, order, samples, sampled):
  decoding = SAMPLED if sampled else GREEDY
  alone = [completions(CONFIG, params, [prompts[i]], decoding, [i])[0][0] for i in order]
  many = dataclasses.replace(decoding, samples=samples)
  together = completions(CONFIG, params, [prompts[i] for i in order], many, order)
  assert [of_prompt[0] for of_prompt in together] == alone
  assert all(len(of_prompt) == samples for of_prompt in together)


def test_samples_differ_by_key_seed_and_number(params, prompts):
  hot = Decoding(max_new_tokens=NEW, temperature=2.0, samples=6)
  prompt = prompts[2]
  (many,) = completions(CONFIG, params, [prompt], hot, [7])
  assert len({tuple(tokens) for tokens in many}) == 6
  assert completions(CONFIG, params, [prompt], hot, [7]) == [many]
  assert completions(CONFIG, params, [prompt], dataclasses.replace(hot, samples=2), [7]) == [many[:2]]
  assert completions(CONFIG, params, [prompt], dataclasses.replace(hot, seed=1), [7]) != [many]
  assert completions(CONFIG, params, [prompt], hot, [2**32 - 1]) != [many]


def test_a_plain_sampler_draws_the_same_tokens(params, prompts):
  prompt, tokens = prompts[4], completions(CONFIG, params, [prompts[4]], SAMPLED, [3])[0][0]
  row = np.zeros((1, 2 * TILE), np.int32)
  row[0, : 1 + len(prompt) + len(tokens)] = [BOS, *prompt, *tokens]
  logits_LxV = logits(CONFIG, params, row, np.ones_like(row), np.arange(row.size)[None])[0]
  key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5, impl='threefry2x32'), 3), 0)
  for step, token in enumerate(tokens):
    scores = np.asarray(logits_LxV[len(prompt) + step])
    likeliest = np.argsort(-scores, kind='stable')[:20]
    share = np.asarray(jax.nn.softmax(scores[likeliest]))
    kept = np.r_[0, np.cumsum(share)[:-1]] < 0.9
    padded = np.full(48, -np.inf, np.float32)
    padded[:20] = np.where(kept, scores[likeliest], -np.inf)
    assert likeliest[jax.random.categorical(jax.random.fold_in(key, step), padded)] == token


def test_a_completion_ends_with_eos(params, prompts):
  full = completions(CONFIG, params, prompts)
  for ((ends_at),) in {(tokens[3],) for (tokens,) in full}:  # so that it is reached
    shorter = completions(CONFIG, params, prompts, eos_id=ends_at)
    for (before,), (after,) in zip(full, shorter, strict=True):
      first = before.index(ends_at) + 1 if ends_at in before else len(before)
      assert after[:first] == before[:first]
      assert ends_at not in after[:-1] and (after[-1] == ends_at or len(after) == NEW)


def test_what_ended_a_completion_is_reported(params, prompts):
  rows = [[BOS, *prompt] for prompt in prompts]
  end = functools.partial(generate, CONFIG, params, rows, range(len(rows)))
  unstopped = end(GREEDY, eos_id=EOS)
  token = unstopped[0][0].ids[2]
  stopped = end(GREEDY, eos_id=EOS, stop=lambda ids, searched: ids.index(token, searched) + 1 if token in ids[searched:] else None)
  for (before,), (after,) in zip(unstopped, stopped, strict=True):
    assert before.ended_by == ('eos' if before.ids[-1] == EOS else 'length')
    expected = (before.ids[: before.ids.index(token) + 1], 'stop') if token in before.ids else before
    assert after == expected


def test_a_shorter_limit_gives_a_prefix(params, prompts):
  full = completions(CONFIG, params, prompts)
  for new in (1, CHUNK, NEW - 2):
    shorter = completions(CONFIG, params, prompts, Decoding(max_new_tokens=new))
    assert shorter == [[tokens[:new]] for (tokens,) in full]


@pytest.mark.parametrize('decoding', [GREEDY, SAMPLED], ids=['greedy', 'sampled'])
def test_eight_devices_complete_as_one_does(params, prompts, decoding):
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  places = parameter_shardings(mesh, decoder.abstract_params(CONFIG), decoder.logical_axes(CONFIG))
  sharded = jax.tree.map(jax.device_put, params, places)
  assert completions(CONFIG, sharded, prompts, decoding, mesh=mesh) == completions(CONFIG, params, prompts, decoding)


def test_no_prompts_give_no_completions(params):
  assert completions(CONFIG, params, []) == []


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'eos_id': 48}, 'id 48.*0 to 47'),
    ({'prompts': [[3], [4, -1]]}, 'prompt 1 has token id -1'),
    ({'prompts': [[3], []]}, 'prompt 1 has no token'),
  ],
)
def test_a_wrong_argument_is_named(params, options, message):
  arguments = {'prompts': [[3]], 'keys': [0], 'decoding': GREEDY, 'eos_id': EOS} | options
  with pytest.raises(UserError, match=message):
    generate(CONFIG, params, **arguments)


def test_bfloat16_generates(params, prompts):
  config = dataclasses.replace(CONFIG, dtype='bfloat16')
  for (tokens,) in completions(config, params, prompts[1:4]):  # of one padded length
    assert tokens and all(0 <= token < 48 for token in tokens)


def test_progress_counts_completions(params, prompts):
  seen = []
  completions(CONFIG, params, prompts, dataclasses.replace(GREEDY, samples=2), show=seen.append)
  assert seen == sorted(seen) and seen[-1] == 2 * len(prompts)


def test_progress_is_shown_after_each_chunk_also_of_one_long_completion(params, prompts):
  seen = []
  completions(CONFIG, params, prompts[:1], eos_id=None, show=seen.append)
  assert seen == [0, 1]  # so that a request to stop need not wait for its end
