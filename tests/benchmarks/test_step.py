import dataclasses

import jax
import numpy as np
import pytest

from codemix.benchmarks import step
from codemix.cli import main
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.models.reference import mean_loss
from tests.models.random_inputs import QUICK, packed_batch, random_documents, random_params

PARALLEL = ModelConfig(
  64, layers=2, width=16, ffn_width=24, heads=4, head_dim=6, kv_heads=2, dtype='float32', logit_scale=0.5
)
SERIAL = dataclasses.replace(PARALLEL, block='serial', norm='rmsnorm', tied=False, qk_norm=True)
CAUSAL = dataclasses.replace(PARALLEL, document_mask=False)


@pytest.mark.parametrize('config', [PARALLEL, SERIAL, CAUSAL], ids=['parallel', 'serial', 'causal'])
def test_the_plain_step_computes_what_the_decoder_does(config):
  rng = np.random.default_rng(0)
  batch = packed_batch([random_documents(rng, 64, [5, 9, 2]) for _ in range(3)], 18)
  params = random_params(config)

  def ours(params):
    return decoder.token_losses(config, params, batch)[0] / batch['weights'].sum()

  differentiate = lambda loss: jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)(params)
  loss, gradients = differentiate(ours)
  loss_, gradients_ = differentiate(lambda params: mean_loss(config, params, batch))
  np.testing.assert_allclose(loss, loss_, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max()),
    gradients,
    gradients_,
  )


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


def test_where_a_plain_step_does_not_fit_there_is_none(tmp_path, monkeypatch):
  monkeypatch.setattr(step, 'PLAIN_BYTES', 1000)
  figures = step.measure(tmp_path, step.Size(rows=1, length=8, repeats=1), PARALLEL)
  assert not any('plain' in figure.name for figure in figures)


def test_a_plain_step_holds_all_logits_or_the_scores_of_all_layers_whichever_are_more():
  short, long = step.Size(rows=3, length=4), step.Size(rows=3, length=400)
  assert step._plain_bytes(short, PARALLEL) == 4 * 3 * 4 * PARALLEL.vocab_size
  assert step._plain_bytes(long, PARALLEL) == 4 * 3 * PARALLEL.layers * PARALLEL.heads * 400**2
  # Here the logits alone would be 512 MiB.
  assert step._plain_bytes(step.Size(rows=1, length=16384), step.MODEL) > step.PLAIN_BYTES
  assert step._plain_bytes(step.Size(), step.MODEL) <= step.PLAIN_BYTES


def test_the_model_is_that_of_the_gin_files_and_flags(capsys):
  flags = ('--gin_file=models/tiny.gin', '--gin.ModelConfig.layers=1', '--gin.ModelConfig.vocab_size=64')
  sizes = ('--size=rows=1', '--size=length=16', '--size=repeats=1')
  assert main(['bench', 'step', *flags, *sizes]) == 0
  assert 'codemix: a step' in capsys.readouterr().out
  assert main(['bench', 'loss', *flags]) == 2
  assert "--gin_file: 'bench loss' measures no model of yours" in capsys.readouterr().err
  assert main(['bench', 'loss', flags[1]]) == 2
  assert "--gin.ModelConfig.layers: 'bench loss' measures no" in capsys.readouterr().err
