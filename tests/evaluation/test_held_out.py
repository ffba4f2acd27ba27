"""A held-out document's score depends on the model and the document alone."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.evaluation import held_out
from codemix.evaluation.held_out import score_documents
from codemix.models import decoder
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import ShardingRules, parameter_shardings
from tests.data.stores import BOS, make_store
from tests.in_process import one_device_mesh
from tests.tiny_study import MODEL

LENGTH = 16
LENGTHS = [3, 40, 16, 1, 17, 15, 2, 33, 8]  # shorter than a row, as long, longer, and much longer


@pytest.fixture(scope='module')
def params():
  return jax.jit(lambda: decoder.init_params(MODEL, 0))()


@pytest.fixture(scope='module')
def store(tmp_path_factory):
  return make_store(tmp_path_factory.mktemp('held_out'), LENGTHS, shards=1)


def score(params, store, batch=4, length=LENGTH, **settings):
  return score_documents(
    MODEL, params, store, length=length, batch=batch, bos_id=BOS, mesh=one_device_mesh(), **settings
  )


def plain_nats(params, document) -> float:
  """The document alone, window by window, by the full logits."""
  nats = 0.0
  for first in range(0, len(document), LENGTH):
    targets = jnp.asarray(document[first : first + LENGTH])[None]
    inputs = jnp.concatenate([jnp.full((1, 1), BOS), targets[:, :-1]], axis=1)
    positions = jnp.arange(targets.shape[1])[None]
    x = decoder.hidden_states(MODEL, params, inputs, jnp.ones_like(inputs), positions)
    logits = jax.nn.log_softmax(decoder.logits(MODEL, params, x))
    nats -= float(jnp.take_along_axis(logits, targets[..., None], axis=-1).sum())
  return nats


def test_scores_are_those_of_each_document_alone_by_the_full_logits(params, store):
  scores = score(params, store)
  starts = np.append(0, store.document_ends[:-1])
  for nats, start, end in zip(scores.nats, starts, store.document_ends, strict=True):
    assert nats == pytest.approx(plain_nats(params, store.read(start, end)), rel=1e-5)


@pytest.mark.parametrize('batch', [1, 2, 3, 16])
def test_scores_do_not_depend_on_the_batch(params, store, batch):
  np.testing.assert_allclose(score(params, store, batch).nats, score(params, store).nats, rtol=1e-6)


def test_scores_do_not_depend_on_the_mesh_or_its_rules(params, store):
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  # As the default rules do not: 259 rows of the table do not divide over two devices.
  rules = ShardingRules(vocab=None, embed=('fsdp', 'data'))
  places = parameter_shardings(mesh, decoder.abstract_params(MODEL), decoder.logical_axes(MODEL), rules)
  placed = jax.tree.map(jax.device_put, params, places)
  scores = score_documents(MODEL, placed, store, length=LENGTH, batch=4, bos_id=BOS, mesh=mesh, rules=rules)
  np.testing.assert_allclose(scores.nats, score(params, store).nats, rtol=1e-5)


def test_a_document_scores_the_same_whatever_stands_beside_it(params, tmp_path):
  together = make_store(tmp_path / 'together', [5, 6, 7], shards=1)
  alone = make_store(tmp_path / 'alone', [5], shards=1)
  assert together.read(0, 5).tolist() == alone.read(0, 5).tolist()
  assert score(params, together).nats[0] == pytest.approx(score(params, alone).nats[0], rel=1e-6)


def test_the_whole_split_is_counted_once(params, store):
  scores = score(params, store, batch=16)  # most of the only batch is empty rows
  assert scores.tokens.tolist() == LENGTHS
  summary = scores.summary()
  assert np.isfinite(scores.nats).all()
  assert (summary['documents'], summary['tokens'], summary['bytes']) == (
    len(LENGTHS),
    sum(LENGTHS),
    2 * sum(LENGTHS),
  )
  assert summary['loss'] == pytest.approx(scores.nats.sum() / sum(LENGTHS))
  assert summary['bits_per_byte'] == pytest.approx(scores.nats.sum() / math.log(2) / (2 * sum(LENGTHS)))


@pytest.mark.parametrize('documents', [[0], [1, 4], [3, 7, 8], list(range(len(LENGTHS)))])
def test_some_documents_score_as_they_do_among_all(params, store, documents):
  some = score(params, store, documents=np.asarray(documents))
  every = score(params, store)
  np.testing.assert_allclose(some.nats, every.nats[documents], rtol=1e-6)
  assert some.tokens.tolist() == [LENGTHS[n] for n in documents]
  assert some.bytes.tolist() == [2 * LENGTHS[n] for n in documents]


def test_what_is_shown_rises_to_all_documents(params, store):
  shown = []
  score(params, store, batch=2, show=shown.append)
  assert shown == sorted(shown) and shown[-1] == len(LENGTHS)
  assert len(shown) > 2


def test_windows_are_laid_out_each_once_in_few_rows_and_about_in_order():
  lengths = np.random.default_rng(0).lognormal(4, 1, 3000).astype(np.int64) + 1
  ends = lengths.cumsum()
  rows = list(held_out._rows(ends - lengths, ends, 128))
  windows = [window for row in rows for window in row]
  assert sum(size for _, _, size in windows) == ends[-1]
  covered = np.concatenate([np.arange(first, first + size) for _, first, size in windows])
  np.testing.assert_array_equal(np.sort(covered), np.arange(ends[-1]))
  assert all(ends[n] - lengths[n] <= first and first + size <= ends[n] for n, first, size in windows)
  assert all(sum(size for _, _, size in row) <= 128 for row in rows)
  assert len(rows) <= 1.02 * ends[-1] / 128
  firsts = [row[0][0] for row in rows]
  assert firsts == sorted(firsts)


def test_documents_are_laid_out_in_portions_of_bounded_memory(params, store, monkeypatch):
  whole = score(params, store).nats
  monkeypatch.setattr(held_out, 'TOGETHER', 2)
  np.testing.assert_allclose(score(params, store).nats, whole, rtol=1e-6)
