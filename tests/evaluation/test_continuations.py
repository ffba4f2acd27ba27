"""A continuation's score depends on the model and its pair alone."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.errors import NonFiniteError
from codemix.evaluation import continuations
from codemix.evaluation.continuations import score_continuations, score_tokens
from codemix.evaluation.model import Model
from codemix.evaluation.scoring import score_documents
from codemix.evaluation.tree_rows import SHORTEST_ROW, row_lengths, rows_of_trees, tree_row, trees
from codemix.models import decoder, reference
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import RULES, ShardingRules, parameter_shardings
from tests.in_process import one_device_mesh
from tests.tiny_study import MODEL

LENGTH, BOS = 48, 1
WIDE = dataclasses.replace(MODEL, heads=4, kv_heads=2, vocab_size=264)


@pytest.fixture(scope='module')
def params():
  """Twenty times the initial embedding, so that likelihoods differ and some tokens are the likeliest."""
  made = jax.jit(lambda: decoder.init_params(WIDE, 0))()
  return {**made, 'embedding': 20 * made['embedding']}


@pytest.fixture(scope='module')
def pairs() -> list[tuple[list[int], list[int]]]:
  """Contexts with one to four continuations, not adjacent; some twice; some empty; one of each too long."""
  rng = np.random.default_rng(0)
  ids = lambda size: rng.integers(3, WIDE.vocab_size, size).tolist()
  contexts = [ids(size) for size in (5, 17, 1, 30, 0, 9)]
  made = [(context, ids(rng.integers(1, 15))) for _ in range(4) for context in contexts]
  made += [made[3], made[0], (contexts[1], []), ([], []), (ids(LENGTH + 9), ids(6)), (ids(3), ids(2 * LENGTH + 5)), (ids(4), ids(LENGTH))]
  return made


@pytest.fixture(scope='module')
def found(params, pairs):
  return score_continuations(model(params), pairs)


def model(params, batch=4, mesh=None, rules=RULES, config=WIDE, length=LENGTH) -> Model:
  tokenizer = SimpleNamespace(bos_id=BOS)
  return Model('any', 0, '', config, tokenizer, length, batch, mesh or one_device_mesh(), rules, lambda: params)


@functools.partial(jax.jit, static_argnums=0)
def full_logits(config, params, inputs_L):
  inputs = inputs_L[None]
  return reference.logits(config, params, inputs, jnp.ones_like(inputs), jnp.arange(inputs.shape[1])[None])[0]


def logits_after(params, ids, config=WIDE) -> np.ndarray:
  """Of the reference for each of the ids, [ids, V]. What is behind them does not matter, so one shape is compiled."""
  padded = np.zeros(LENGTH, np.int32)
  padded[: len(ids)] = ids
  return np.asarray(full_logits(config, params, padded)[: len(ids)])


def plain(params, context, continuation, config=WIDE) -> tuple[float, bool]:
  """A pair alone by the full logits of the reference; `context` begins with BOS."""
  logits_MxV = logits_after(params, [*context, *continuation][:-1], config)[len(context) - 1 :].astype(np.float64)
  hits_M = logits_MxV[np.arange(len(continuation)), continuation]
  nats = np.logaddexp.reduce(logits_MxV, axis=-1) - hits_M
  return nats.sum(), bool((logits_MxV.argmax(axis=-1) == continuation).all())


def greedy_continuation(params, context, tokens) -> list[int]:
  ids = [BOS, *context]
  for _ in range(tokens):
    ids.append(int(logits_after(params, ids)[-1].argmax()))
  return ids[1 + len(context) :]


def test_scores_are_those_of_each_pair_alone_by_the_full_logits(params, pairs, found):
  for number, (context, continuation) in enumerate(pairs):
    if not continuation or len(continuation) > LENGTH:
      continue
    kept = context[max(len(context) + len(continuation) - LENGTH, 0) :]
    nats, greedy = plain(params, [BOS, *kept], continuation)
    assert found.nats[number] == pytest.approx(nats, rel=1e-5)
    assert found.greedy[number] == greedy
    assert found.tokens[number] == len(continuation)


def test_an_empty_continuation_costs_nothing(pairs, found):
  for number in [n for n, (_, continuation) in enumerate(pairs) if not continuation]:
    assert (found.nats[number], found.tokens[number], found.greedy[number]) == (0, 0, True)


def test_a_continuation_longer_than_the_model_is_scored_like_a_document(params, pairs, found):
  [number] = [n for n, (_, continuation) in enumerate(pairs) if len(continuation) > LENGTH]
  ids = pairs[number][1]
  [nats] = score_documents(model(params), [(np.asarray(ids), np.ones(len(ids), bool))])
  assert found.nats[number] == pytest.approx(nats, rel=1e-5)
  assert found.tokens[number] == len(ids)


def test_greedy_is_what_the_model_would_say_and_nothing_else(params):
  contexts = [[5, 9, 200], [7], []]
  said = [greedy_continuation(params, context, 6) for context in contexts]
  other = [[*ids[:5], (ids[5] + 1) % WIDE.vocab_size] for ids in said]
  assert score_continuations(model(params), [*zip(contexts, said, strict=True)]).greedy.all()
  assert not score_continuations(model(params), [*zip(contexts, other, strict=True)]).greedy.any()


def test_of_equal_logits_the_lowest_id_is_the_greedy_one(params):
  alike = {**params, 'embedding': jnp.broadcast_to(params['embedding'][:1], params['embedding'].shape)}
  scores = score_continuations(model(alike), [([7], [0]), ([7], [1]), ([7], [WIDE.vocab_size - 1])])
  assert scores.greedy.tolist() == [True, False, False]
  np.testing.assert_allclose(scores.nats, np.log(WIDE.vocab_size), rtol=1e-6)


@pytest.mark.parametrize('batch', [1, 3, 16])
def test_scores_do_not_depend_on_the_batch(params, pairs, found, batch):
  same(score_continuations(model(params, batch=batch), pairs), found)


def test_scores_do_not_depend_on_packing_and_sharing(params, pairs):
  whole = [((BOS, *context), tuple(ids)) for context, ids in pairs if ids and len(context) + len(ids) <= LENGTH]
  same(score_tokens(model(params), whole, packed=False), score_tokens(model(params), whole))


@pytest.mark.parametrize('some', [[0], [7, 3], list(range(30, 0, -3))])
def test_some_pairs_score_as_they_do_among_all(params, pairs, found, some):
  scores = score_continuations(model(params), [pairs[n] for n in some])
  np.testing.assert_allclose(scores.nats, found.nats[some], rtol=1e-5)
  np.testing.assert_array_equal(scores.greedy, found.greedy[some])


@pytest.mark.parametrize('axes', [{'data': 8}, {'data': 2, 'fsdp': 2, 'tensor': 2}, {'fsdp': 2, 'sequence': 4}, {'sequence': 4, 'tensor': 2}])
def test_scores_do_not_depend_on_the_devices(params, pairs, found, axes):
  mesh = make_mesh(MeshConfig(**{'data': 1, **axes}))
  rules = RULES if 'tensor' not in axes else ShardingRules(vocab=('tensor', 'fsdp'), embed=None)
  places = parameter_shardings(mesh, decoder.abstract_params(WIDE), decoder.logical_axes(WIDE), rules)
  same(score_continuations(model(jax.tree.map(jax.device_put, params, places), batch=8, mesh=mesh, rules=rules), pairs), found)


@pytest.mark.parametrize(
  'settings',
  [{'block': 'serial', 'norm': 'rmsnorm', 'tied': False}, {'qk_norm': True, 'document_mask': False, 'logit_scale': 0.5, 'scan': False}],
)
def test_every_form_of_the_decoder_is_scored(pairs, settings):
  config = dataclasses.replace(WIDE, **settings)
  params = jax.jit(lambda: decoder.init_params(config, 1))()
  few = [(context, ids) for context, ids in pairs if ids and len(context) + len(ids) <= LENGTH][:6]
  scores = score_continuations(model(params, config=config), few)
  for nats, (context, ids) in zip(scores.nats, few, strict=True):
    assert nats == pytest.approx(plain(params, [BOS, *context], ids, config)[0], rel=1e-5)


def test_long_rows_and_large_vocabularies_are_computed_in_parts(params, monkeypatch):
  """Parts of queries, of scored tokens and of the vocabulary, of which the last overlaps the one before."""
  from codemix.models import target_scores
  from codemix.models.attention import tree
  from codemix.models.cpu import vocabulary_blocks

  rng = np.random.default_rng(1)
  pairs = [(rng.integers(3, 264, 20).tolist(), rng.integers(3, 264, size).tolist()) for size in (9, 4, 23)]
  pairs += [(pairs[0][0], [8, 9]), (pairs[2][0], [7])]
  wanted = score_continuations(model(params, length=100), pairs)
  monkeypatch.setattr(tree, 'QUERIES', 30)
  monkeypatch.setattr(target_scores, 'CPU_CHUNK', 7)
  monkeypatch.setattr(vocabulary_blocks, 'LEAST_ROWS', 100)
  monkeypatch.setattr(vocabulary_blocks, 'CACHE_BYTES', 1)
  continuations.make_score.cache_clear()
  same(score_continuations(model(params, length=100), pairs), wanted)
  continuations.make_score.cache_clear()


def test_accelerators_compute_the_whole_vocabulary_at_once(params, pairs, found, monkeypatch):
  from codemix.models import target_scores

  monkeypatch.setattr(target_scores, 'platform_of', lambda mesh: 'tpu')
  continuations.make_score.cache_clear()
  same(score_continuations(model(params), pairs), found)
  continuations.make_score.cache_clear()


def test_scores_that_are_not_finite_are_an_error(params):
  with pytest.raises(NonFiniteError, match='not finite'):
    score_continuations(model({**params, 'embedding': jnp.nan * params['embedding']}), [([7], [8])])


def test_what_is_shown_rises_to_all_pairs(params, pairs):
  shown = []
  score_continuations(model(params, batch=1), pairs, shown.append)
  assert shown == sorted(shown) and shown[-1] == len(pairs)
  assert len(shown) > 2


def test_no_pairs_have_no_scores(params):
  assert [len(column) for column in score_continuations(model(params), [])] == [0, 0, 0]


def test_trees_hold_each_pair_once_share_contexts_and_fit():
  rng = np.random.default_rng(2)
  contexts = [tuple(rng.integers(3, 99, rng.integers(1, 60))) for _ in range(40)]
  pairs = [(contexts[rng.integers(40)], tuple(rng.integers(3, 99, rng.integers(1, 40)))) for _ in range(300)]
  made = trees(pairs, 100)
  assert sorted(pair for tree in made for pair in tree.pairs) == list(range(300))
  assert all(tree.size <= 100 for tree in made)
  for tree in made:
    assert [(tree.context, ids) for ids in tree.continuations] == [pairs[n] for n in tree.pairs]
  assert sum(tree.size for tree in made) < 0.7 * sum(len(c) + len(ids) - 1 for c, ids in pairs)


def test_rows_are_of_few_lengths_and_mostly_full():
  rng = np.random.default_rng(3)
  pairs = [(tuple(rng.integers(3, 99, rng.integers(1, 300))), tuple(rng.integers(3, 99, rng.integers(1, 40)))) for _ in range(500)]
  lengths = row_lengths(2000, 1)
  assert lengths == [SHORTEST_ROW, 512, 1024, 2000]
  rows = rows_of_trees(trees(pairs, 2000), lengths)
  used = sum(tree.size for of_length in rows.values() for row in of_length for tree in row)
  assert used >= 0.95 * sum(length * len(of_length) for length, of_length in rows.items())
  for length, of_length in rows.items():
    for row in of_length:
      batch, owners = tree_row(row, length)
      assert (owners >= 0).sum() == batch['weights'].sum() == sum(len(ids) for tree in row for ids in tree.continuations)


def test_rows_divide_over_the_devices_that_share_their_positions():
  assert row_lengths(300, 8) == [256, 304]
  assert row_lengths(10, 4) == [12]


def same(scores, wanted) -> None:
  np.testing.assert_allclose(scores.nats, wanted.nats, rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(scores.tokens, wanted.tokens)
  np.testing.assert_array_equal(scores.greedy, wanted.greedy)
