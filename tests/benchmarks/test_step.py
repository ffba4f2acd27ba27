import dataclasses

import jax
import numpy as np
import pytest

from codemix.benchmarks import matmul, step
from codemix.benchmarks.measuring import one_device_mesh
from codemix.cli import main
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import batch_sharding

PARALLEL = ModelConfig(
  64, layers=2, width=16, ffn_width=24, heads=4, head_dim=6, kv_heads=2, dtype='float32', logit_scale=0.5
)


@pytest.fixture(autouse=True)
def small_matmuls(monkeypatch):
  """What the processor could do at most is measured on matrices that take no seconds."""
  monkeypatch.setattr(matmul, 'CPU_SIDE', 64)


def test_both_steps_are_measured_and_mfu_follows_from_the_figures(tmp_path):
  size = step.Size(rows=2, length=16, documents=2, repeats=1)
  model = dataclasses.replace(PARALLEL, kv_heads=None)
  figures = {figure.name: figure for figure in step.measure(tmp_path, size, model)}
  ceiling = figures['float32 matmuls before or after the steps'].value * 1e12
  for name in ('codemix', 'plain'):
    taken = figures[f'{name}: a step'].value / 1e3
    np.testing.assert_allclose(figures[f'{name}: tokens'].value, 32 / taken)
    flops = 32 * model.flops_per_token(16)['total']
    np.testing.assert_allclose(
      figures[f'{name}: MFU against those matmuls'].value, 100 * flops / taken / ceiling
    )
    assert figures[f'{name}: temporaries'].value > 0
  ratio = figures['plain: a step'].value / figures['codemix: a step'].value
  np.testing.assert_allclose(figures['times as fast as the plain step'].value, ratio)
  # Goals belong to the one workload that they were set for.
  assert all(figure.goal is None for figure in figures.values())


def test_both_steps_train_alike():
  mesh = one_device_mesh()
  batch = jax.device_put(step.random_batch(step.Size(rows=2, length=16), PARALLEL.vocab_size), batch_sharding(mesh))
  ours, plain = step.train_steps(PARALLEL, mesh, batch), step.plain_steps(PARALLEL, mesh, batch)
  for _ in range(2):
    params, (expected, _) = ours().params, plain()
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), params, expected)


def test_where_a_plain_step_does_not_fit_there_is_none(tmp_path, monkeypatch):
  monkeypatch.setattr(step, 'PLAIN_BYTES', 1000)
  figures = step.measure(tmp_path, step.Size(rows=1, length=8, repeats=1), PARALLEL)
  assert not any('plain' in figure.name for figure in figures)


def test_a_plain_step_holds_all_logits_or_the_scores_of_all_layers_whichever_are_more():
  short, long = step.Size(rows=3, length=4), step.Size(rows=3, length=400)
  assert step.plain_bytes(short, PARALLEL) == 4 * 3 * 4 * PARALLEL.vocab_size
  assert step.plain_bytes(long, PARALLEL) == 4 * 3 * PARALLEL.layers * PARALLEL.heads * 400**2
  # Here the logits alone would be 512 MiB.
  assert step.plain_bytes(step.Size(rows=1, length=16384), step.MODEL) > step.PLAIN_BYTES
  assert step.plain_bytes(step.Size(), step.MODEL) <= step.PLAIN_BYTES


def test_the_model_is_that_of_the_gin_files_and_flags(capsys):
  flags = ('--gin_file=models/tiny.gin', '--gin.ModelConfig.layers=1', '--gin.ModelConfig.vocab_size=64')
  sizes = ('--size=rows=1', '--size=length=16', '--size=repeats=1')
  assert main(['bench', 'step', *flags, *sizes]) == 0
  assert 'codemix: a step' in capsys.readouterr().out
  assert main(['bench', 'loss', *flags]) == 2
  assert "--gin_file: 'bench loss' measures no model of yours" in capsys.readouterr().err
  assert main(['bench', 'loss', flags[1]]) == 2
  assert "--gin.ModelConfig.layers: 'bench loss' measures no" in capsys.readouterr().err
