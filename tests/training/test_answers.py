"""Loss on answers alone: what a step learns from, what the ledger says of it, and that nothing else changes."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import codemix
from codemix.data.batches import ledger
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.rows import stack_rows
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.errors import UserError
from codemix.models import decoder, reference
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding
from codemix.storage import read_json
from codemix.studies.planning import plan_study
from codemix.studies.verify import check_ledgers
from codemix.studies.verify_metrics import check_metrics
from codemix.training import loop
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, state_shardings
from codemix.training.train_step import make_train_step
from tests import instructions, tiny_study
from tests.faults.runs import assert_same, result_of
from tests.in_process import one_device_mesh, record_batches, use_one_device
from tests.models.random_inputs import random_params

LENGTH, BOS = tiny_study.LENGTH, 1
PAIRS = instructions.pairs(120, ask=12, say=4)
MIXTURE = {'asked': 0.5, 'text': 0.5}
STEPS = 6


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  root = tmp_path_factory.mktemp('answers')
  data = tiny_study.prepare(root / 'data', bytes_each=12_000)
  return instructions.add(data, 'asked', instructions.corpus(root / 'raw', {'train': PAIRS, 'validation': PAIRS[:6]}))


@pytest.fixture(scope='module')
def source(data) -> PreparedSource:
  return PreparedSource('asked', data.open_store('asked', 'train', data.load_tokenizer()), LENGTH, BOS)


def study(mixture=MIXTURE, **settings) -> codemix.Study:
  recipe = tiny_study.recipe(tiny_study.stage('tuned', mixture, STEPS, **settings), max_epochs=100)
  return codemix.Study(name='answers', recipes={'only': recipe}, validation=('asked',))


def batch_of(source: PreparedSource, count: int = 8) -> dict[str, np.ndarray]:
  rows = stack_rows([source.row(index) for index in range(count)])
  return {**rows, 'source': np.zeros(count, np.int32)}


def stepped(batch, mesh, microbatches: int = 1):
  """State before and after a step, and its metrics."""
  placement, optimizer = Placement(mesh), Optimizer(clip_norm=0)
  params = random_params(tiny_study.MODEL)
  state = TrainState(params, make_optimizer(optimizer).init(params))
  state = jax.device_put(jax.tree.map(np.array, state), state_shardings(tiny_study.MODEL, optimizer, placement))
  step = make_train_step(tiny_study.MODEL, optimizer, placement, BOS, microbatches)
  after, metrics = step(state, jax.device_put(batch, batch_sharding(mesh)), np.float32(1e-2))
  return params, after.params, jax.tree.map(np.asarray, metrics)


def test_the_loss_of_a_row_is_that_of_its_answers_document_by_document(source):
  """Each document, as far as the row holds it, goes alone through the plain model; which tokens count is known from the text."""
  ids, counts = map(np.array, instructions.expected(instructions.in_order(PAIRS)))
  alone = collections.defaultdict(list)
  for row in range(8):
    here = slice(row * LENGTH, (row + 1) * LENGTH)
    begins = [0, *(np.flatnonzero(ids[here][:-1] == 2) + 1), LENGTH]
    for begin, end in zip(begins, begins[1:], strict=False):
      first = here.start + begin
      before = BOS if first == 0 or ids[first - 1] == 2 else ids[first - 1]
      tokens, learnt = ids[first : here.start + end], counts[first : here.start + end]
      for name, values in {'inputs': [before, *tokens[:-1]], 'targets': tokens, 'weights': learnt}.items():
        alone[name].append(np.pad(values, (0, LENGTH - len(values))))  # nothing sees what stands behind it
  plain = {name: np.stack(rows).astype(np.float32 if name == 'weights' else np.int32) for name, rows in alone.items()}
  plain |= {'positions': np.tile(np.arange(LENGTH, dtype=np.int32), (len(plain['inputs']), 1)), 'segment_ids': np.ones_like(plain['inputs'])}
  total, _ = jax.jit(functools.partial(reference.token_losses, tiny_study.MODEL))(random_params(tiny_study.MODEL), plain)
  counted = int(plain['weights'].sum())
  _, _, metrics = stepped(batch_of(source), one_device_mesh())
  assert metrics['tokens'].sum() == counted and metrics['read'].sum() == 8 * LENGTH
  assert metrics['loss'] == pytest.approx(float(total) / counted, rel=1e-5)


def test_no_gradient_comes_from_the_target_of_a_prompt(source):
  batch = batch_of(source)
  other = {**batch, 'targets': np.where(batch['weights'] > 0, batch['targets'], 77)}
  assert (other['targets'] != batch['targets']).any()
  mesh, params = one_device_mesh(), random_params(tiny_study.MODEL)

  def loss(params, batch):
    return decoder.token_losses(tiny_study.MODEL, params, batch, mesh=mesh)[0]

  one, two = (jax.jit(jax.grad(loss))(params, {key: jnp.asarray(value) for key, value in each.items()}) for each in (batch, other))
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
    assert np.array_equal(a, b) and np.isfinite(a).all()


@pytest.mark.parametrize('microbatches', [1, 4])
def test_a_batch_of_prompts_alone_teaches_nothing_and_is_finite(source, microbatches):
  batch = batch_of(source)
  silent = {**batch, 'weights': np.zeros_like(batch['weights'])}
  _, _, metrics = stepped(silent, one_device_mesh(), microbatches)
  assert (metrics['loss'], metrics['grad_norm']) == (0, 0)
  assert metrics['tokens'].sum() == 0 and metrics['read'].sum() == 8 * LENGTH
  assert metrics['documents'].sum() == (batch['inputs'] == BOS).sum()


def test_rows_of_prompts_alone_change_nothing_but_what_is_read(source):
  """They add no loss and no count of loss: the other rows are as if these were not there."""
  batch = batch_of(source)
  half = np.arange(8) < 4
  silent = {**batch, 'weights': batch['weights'] * half[:, None]}
  _, after, metrics = stepped(silent, one_device_mesh())
  _, alone, expected = stepped({key: value[half] for key, value in batch.items()}, one_device_mesh())
  assert metrics['loss'] == pytest.approx(expected['loss'], rel=1e-6)
  for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(alone), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_eight_devices_learn_from_answers_as_one_does(source):
  batch = batch_of(source)
  _, one, expected = stepped(batch, one_device_mesh())
  for config in (MeshConfig(data=8), MeshConfig(replica=2, fsdp=2, sequence=2)):
    _, many, metrics = stepped(batch, make_mesh(config, jax.devices()))
    assert metrics['loss'] == pytest.approx(expected['loss'], rel=1e-5)
    assert all(np.array_equal(metrics[key], expected[key]) for key in ('tokens', 'read', 'documents'))
    for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
      assert np.linalg.norm(np.asarray(a) - b) <= 1e-4 * np.linalg.norm(b)


class Interrupted(Exception):
  """Ends a run after a save, as a kill would."""


@pytest.fixture(scope='module')
def ran(data, tmp_path_factory):
  """(output, batches) of a stage of a source with prompts and one without."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    batches = record_batches(patch)
    output = tmp_path_factory.mktemp('ran') / 'run'
    codemix.run_study(study(), data, tiny_study.runtime(output, save_every=2))
    return output, batches[0]


def test_both_counts_of_the_ledger_are_those_of_the_tokens_that_were_fed(ran, data):
  output, batches = ran
  ids, answers = instructions.expected(instructions.in_order(PAIRS))
  rows = {tuple(ids[at : at + LENGTH]): sum(answers[at : at + LENGTH]) for at in range(0, len(ids) - LENGTH + 1, LENGTH)}
  fed = collections.Counter()
  for batch in batches:
    for targets, source in zip(batch['targets'].tolist(), batch['source'].tolist(), strict=True):
      fed['rows', source] += 1
      fed['loss', source] += rows[tuple(targets)] if source == 0 else LENGTH
  [written] = (read_json(path) for path in output.glob('stages/*/ledger.json'))
  for side in ('planned', 'realised'):
    asked, text = written[side]
    assert (asked['source'], asked['tokens'], asked['loss_tokens']) == ('asked', fed['rows', 0] * LENGTH, fed['loss', 0])
    assert (text['source'], text['loss_tokens'], 'tokens' in text) == ('text', fed['loss', 1], False)
  assert abs(fed['loss', 0] - fed['loss', 1]) / 2 <= LENGTH  # half each, within a row
  assert fed['rows', 0] > 1.5 * fed['rows', 1]
  [stage] = output.glob('stages/*')
  assert check_metrics(stage, True, []) == STEPS
  [checked] = check_ledgers(plan_study(study(), data), str(output))
  assert checked['ledger'].startswith('agrees')


def test_shares_of_tokens_are_shares_of_what_is_read(data):
  [by_tokens] = plan_study(study(shares='tokens'), data).stages()
  [by_loss] = plan_study(study(), data).stages()
  assert [draw.rows for draw in by_tokens.draws] == [STEPS * 4, STEPS * 4] != [draw.rows for draw in by_loss.draws]
  assert by_tokens.identity['rows'] == [['asked', 24], ['text', 24]] and by_tokens.hash != by_loss.hash


def test_seeds_of_a_stage_by_loss_tokens_differ_in_nothing_but_the_seed(data):
  recipes = {f's{seed}': dataclasses.replace(study().recipes['only'], seed=seed) for seed in range(6)}
  stages = plan_study(dataclasses.replace(study(), recipes=recipes, baseline='s0'), data).stages()
  assert len({tuple(draw.rows for draw in stage.draws) for stage in stages}) > 1  # their rows hold other numbers of loss tokens
  assert len({json.dumps({**stage.identity, 'seed': 0}) for stage in stages}) == 1


def test_what_a_stage_without_prompts_is_does_not_depend_on_how_shares_are_meant(data):
  plain = {'text': 0.5, 'code': 0.5}
  [a], [b] = (plan_study(study(plain, shares=shares), data).stages() for shares in ('loss_tokens', 'tokens'))
  assert a.hash == b.hash
  assert all('tokens' not in draw.as_json() for draw in a.draws)


def test_a_study_without_prompts_has_the_hashes_that_it_had_before_there_were_any(tmp_path):
  # Of stages and ledgers of the commit before. They change with `NUMERICS`, and with what the tiny study is.
  stages = plan_study(tiny_study.study(a=tiny_study.balanced_to_text()), tiny_study.prepare(tmp_path)).stages()
  assert [stage.hash[:12] for stage in stages] == ['ace9161d746c', 'c683ed982d19', 'f2de84e384bc']
  realised = {draw.source: {key: getattr(draw, key) for key in ledger.counted(draw)} for draw in stages[0].draws}
  assert ledger.entry('balanced', stages[0].draws, realised, None)['hash'][:12] == '768a04e3c93d'


def test_a_mixture_that_changes_has_no_shares_of_loss_tokens_where_there_are_prompts(data):
  changing = MixtureSchedule(((0, MIXTURE), (0.5, {'asked': 0.9, 'text': 0.1})))
  with pytest.raises(UserError, match=r"its mixture changes along the stage, and 'asked' has prompts"):
    plan_study(study(changing), data)
  assert plan_study(study(changing, shares='tokens'), data).stages()


def test_prompts_are_not_streamed(data):
  with pytest.raises(UserError, match=r"'asked' cannot be streamed: Instruction has prompts"):
    plan_study(study({'asked': 1.0}), dataclasses.replace(data, streaming=True))


def test_a_stage_on_answers_that_is_cut_off_goes_on_to_the_same_end(ran, data, tmp_path, monkeypatch):
  output, _ = ran
  use_one_device(monkeypatch)
  again = tmp_path / 'run'
  write, seen = loop.StageLog.write, []

  def end(log, index, values):
    if index == 4:
      raise Interrupted
    return write(log, index, values)

  monkeypatch.setattr(loop.StageLog, 'write', end)
  with pytest.raises(Interrupted):
    codemix.run_study(study(), data, tiny_study.runtime(again, save_every=2))
  monkeypatch.setattr(loop.StageLog, 'write', lambda log, index, values: (seen.append(index), write(log, index, values))[1])
  codemix.run_study(study(), data, tiny_study.runtime(again, save_every=2))
  assert 0 < len(seen) < STEPS
  assert_same(result_of(again), result_of(output))


def test_held_out_answers_are_scored_alone(ran):
  output, _ = ran
  [path] = output.glob('stages/*/evaluation/held_out/asked.json')
  _, counts = instructions.expected(PAIRS[:6])
  scores = read_json(path)['scores']
  assert scores['documents'] == 6 and scores['tokens'] == sum(counts)
  assert scores['bytes'] == sum(len(say.encode()) for _, say in PAIRS[:6])
