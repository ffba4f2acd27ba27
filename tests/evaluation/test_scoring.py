"""A held-out document's score depends on the model and the document alone."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.evaluation import scoring
from codemix.evaluation.held_out import StoredDocuments
from codemix.evaluation.model import Model
from codemix.evaluation.scoring import pack, score_documents
from codemix.models import decoder
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import RULES, ShardingRules, parameter_shardings
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


def score(params, store, documents=None, batch=4, **settings) -> np.ndarray:
  return score_ids(params, StoredDocuments(store, documents), batch=batch, **settings)


def score_ids(params, documents, batch=4, mesh=None, rules=RULES, **settings) -> np.ndarray:
  tokenizer = SimpleNamespace(bos_id=BOS)
  model = Model('any', 0, '', MODEL, tokenizer, LENGTH, batch, mesh or one_device_mesh(), rules, lambda: params)
  return score_documents(model, documents, **settings)


def plain_nats(params, document, mask=None) -> float:
  """The document alone, window by window, by the full logits; over its mask where there is one."""
  mask = np.ones(len(document)) if mask is None else mask
  nats = 0.0
  for first in range(0, len(document), LENGTH):
    targets = jnp.asarray(document[first : first + LENGTH])[None]
    inputs = jnp.concatenate([jnp.full((1, 1), BOS), targets[:, :-1]], axis=1)
    positions = jnp.arange(targets.shape[1])[None]
    batch = {'inputs': inputs, 'segment_ids': jnp.ones_like(inputs), 'positions': positions}
    x = decoder.hidden_states(MODEL, params, batch)
    logits = jax.nn.log_softmax(decoder.logits(MODEL, params, x))
    nlls = jnp.take_along_axis(logits, targets[..., None], axis=-1)[0, :, 0]
    nats -= float((nlls * mask[first : first + LENGTH]).sum())
  return nats


def test_scores_are_those_of_each_document_alone_by_the_full_logits(params, store):
  for nats, (ids, _) in zip(score(params, store), StoredDocuments(store), strict=True):
    assert nats == pytest.approx(plain_nats(params, ids), rel=1e-5)


def test_only_the_tokens_of_a_mask_count_and_the_others_are_their_context(params, store):
  rng = np.random.default_rng(0)
  documents = [(ids, rng.random(len(ids)) < 0.5) for ids, _ in StoredDocuments(store)]
  documents[0] = (documents[0][0], np.zeros(len(documents[0][0]), bool))
  nats = score_ids(params, documents)
  assert nats[0] == 0
  for found, (ids, mask) in zip(nats, documents, strict=True):
    assert found == pytest.approx(plain_nats(params, ids, mask), rel=1e-5)
  rest = score_ids(params, [(ids, ~mask) for ids, mask in documents])
  np.testing.assert_allclose(nats + rest, score(params, store), rtol=1e-6)


def test_documents_need_no_store(params, store):
  documents = [(ids.tolist(), [True] * len(ids)) for ids, _ in StoredDocuments(store)]
  np.testing.assert_array_equal(score_ids(params, documents), score(params, store))


@pytest.mark.parametrize('batch', [1, 2, 3, 16])
def test_scores_do_not_depend_on_the_batch(params, store, batch):
  np.testing.assert_allclose(score(params, store, batch=batch), score(params, store), rtol=1e-6)


def test_scores_do_not_depend_on_the_mesh_or_its_rules(params, store):
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  # As the default rules do not: 259 rows of the table do not divide over two devices.
  rules = ShardingRules(vocab=None, embed=('fsdp', 'data'))
  places = parameter_shardings(mesh, decoder.abstract_params(MODEL), decoder.logical_axes(MODEL), rules)
  placed = jax.tree.map(jax.device_put, params, places)
  nats = score(placed, store, mesh=mesh, rules=rules)
  np.testing.assert_allclose(nats, score(params, store), rtol=1e-5)


def test_a_document_scores_the_same_whatever_stands_beside_it(params, tmp_path):
  together = make_store(tmp_path / 'together', [5, 6, 7], shards=1)
  alone = make_store(tmp_path / 'alone', [5], shards=1)
  assert together.read(0, 5).tolist() == alone.read(0, 5).tolist()
  assert score(params, together)[0] == pytest.approx(score(params, alone)[0], rel=1e-6)


@pytest.mark.parametrize('documents', [[0], [1, 4], [3, 7, 8], list(range(len(LENGTHS)))])
def test_some_documents_score_as_they_do_among_all(params, store, documents):
  some = score(params, store, np.asarray(documents))
  np.testing.assert_allclose(some, score(params, store)[documents], rtol=1e-6)


def test_what_is_shown_rises_to_all_documents(params, store):
  shown = []
  score(params, store, batch=2, show=shown.append)
  assert shown == sorted(shown) and shown[-1] == len(LENGTHS)
  assert len(shown) > 2


def test_windows_are_laid_out_each_once_in_few_rows_and_about_in_order():
  sizes = np.random.default_rng(0).lognormal(4, 1, 3000).astype(np.int64) + 1
  starts, total = sizes.cumsum() - sizes, sizes.sum()
  rows = list(pack(sizes, 128))
  windows = [window for row in rows for window in row]
  covered = np.concatenate([np.arange(first, first + size) + starts[n] for n, first, size in windows])
  np.testing.assert_array_equal(np.sort(covered), np.arange(total))
  assert all(first + size <= sizes[n] for n, first, size in windows)
  assert all(sum(size for _, _, size in row) <= 128 for row in rows)
  assert len(rows) <= 1.02 * total / 128
  firsts = [row[0][0] for row in rows]
  assert firsts == sorted(firsts)


def test_documents_are_laid_out_in_portions_of_bounded_memory(params, store, monkeypatch):
  whole = score(params, store)
  monkeypatch.setattr(scoring, 'TOGETHER', 2)
  np.testing.assert_allclose(score(params, store), whole, rtol=1e-6)
