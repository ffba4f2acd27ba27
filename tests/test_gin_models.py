"""The models that ship as gin files: what their heads say, and that the file that comes last decides alone."""

from __future__ import annotations

import itertools
import json
import math
import re

import jax
import pytest

from codemix import cli, config
from codemix.commands.model import show_models
from codemix.models import decoder
from codemix.models.config import ModelConfig

FOLDER = config.gin_directory()
MODELS = sorted(path.stem for path in (FOLDER / 'models').glob('*.gin') if not path.stem.endswith('_block'))
SCALES = sorted(path.stem for path in (FOLDER / 'scales').glob('*.gin') if '_and_' not in path.stem)


def model_of(*names: str) -> ModelConfig:
  config.parse([f'models/{name}.gin' for name in names], [])
  return config.build('ModelConfig')


def test_the_sizes_of_the_design_ship():
  assert {'tiny', '30m', '125m', '470m', '1b3', '2b8', 'llama_125m', 'llama_1b1'} == set(MODELS)


@pytest.mark.parametrize('name', MODELS)
def test_a_models_head_says_its_exact_number_of_parameters(name):
  said = re.match(r'# ([\d,]+) parameters', (FOLDER / 'models' / f'{name}.gin').read_text())
  model = model_of(name)
  assert int(said[1].replace(',', '')) == model.parameter_count()['total']
  shapes = jax.tree.leaves(decoder.abstract_params(model))
  assert sum(math.prod(leaf.shape) for leaf in shapes) == model.parameter_count()['total']


@pytest.mark.parametrize('name', [name for name in MODELS if name != 'tiny'])
def test_a_models_name_is_its_size(name):
  number, unit, decimal = re.fullmatch(r'(?:llama_)?(\d+)(m|b)(\d?)', name).groups()
  size = float(f'{number}.{decimal or 0}') * {'m': 1e6, 'b': 1e9}[unit]
  assert model_of(name).parameter_count()['total'] == pytest.approx(size, rel=0.02)


def test_the_llama_shaped_models_are_serial_grouped_and_untied():
  for name in MODELS:
    model = model_of(name)
    llama = name.startswith('llama')
    assert (model.block == 'serial') == (model.norm == 'rmsnorm') == (not model.tied) == llama
    assert (model.key_value_heads < model.heads) == llama


def test_llama_1b1_is_the_published_shape_of_tinyllama():
  assert model_of('llama_1b1').parameter_count()['total'] == 1_100_048_384  # of its checkpoints


def test_of_two_models_the_later_decides_alone():
  alone = {name: model_of(name) for name in MODELS}
  for first, second in itertools.permutations(MODELS, 2):
    assert model_of(first, second) == alone[second], f'{second} after {first}'


@pytest.mark.parametrize('name', SCALES)
def test_a_recipe_takes_its_model_stages_and_rates_from_a_scale(name):
  config.parse(['recipes/balanced_to_text.gin', f'scales/{name}.gin'], [])
  recipe = config.build('Study').recipes['balanced_to_text']
  first, _, cooldown = recipe.stages
  if name == 'one_machine':  # has a model of its own, between the sizes that ship
    assert recipe.model.parameter_count()['total'] == 1_315_456
  else:
    assert recipe.model == model_of('tiny' if name == 'quickstart' else name)
  assert first.tokens / cooldown.tokens == pytest.approx(5)  # 200 : 40, as in the study
  rates = first.schedule.curve(first.steps(recipe.length), None)
  assert rates.max() == pytest.approx(first.schedule.peak, rel=1e-6)
  assert first.schedule.floor == pytest.approx(first.schedule.peak / 10)


def described(capsys, *words: str) -> list[dict]:
  parser = cli.Parser(prog='codemix inspect')
  from codemix.commands import inspect

  inspect.add_arguments(parser)
  arguments = parser.parse_args([*words, '--format=json'])
  show_models(arguments)
  return json.loads(capsys.readouterr().out)


def test_a_model_is_described_without_a_recipe_or_data(capsys, one_device):
  (found,) = described(capsys, '--gin_file=models/470m.gin')
  assert found['length'] == 8192
  assert found['bytes'] == {
    'weights': 4 * 467_682_304,
    'gradients': 4 * 467_682_304,
    # two moments, Adam's count and the step
    'moments': 2 * 4 * 467_682_304 + 8,
    'checkpoint': 3 * 4 * 467_682_304 + 8,
  }
  (short,) = described(capsys, '--gin_file=models/470m.gin', '--gin.Recipe.length=1024')
  assert 8 * short['flops_per_token']['attention_scores'] == found['flops_per_token']['attention_scores']
  assert short['flops_per_token']['ffn'] == found['flops_per_token']['ffn']


def test_the_models_of_a_study_are_described_each_once(capsys, one_device):
  (found,) = described(capsys, '--gin_file=studies/quickstart.gin')
  assert (found['parameters']['total'], found['length']) == (1_118_592, 128)
