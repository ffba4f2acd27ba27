"""`codemix plan` from the command line, on virtual devices; and once with the real TPU compiler."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from codemix import cli

RECIPE = ('--gin_file=recipes/balanced_to_text.gin', '--gin_file=runtimes/cpu.gin')
needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason="the TPU compiler is not installed: pip install 'codemix[tpu]'"
)


def _plan(capsys, *flags: str) -> tuple[int, dict, str]:
  """Exit code, the JSON on stdout, and stderr."""
  code = cli.main(['plan', *RECIPE, '--format=json', *flags])
  out, err = capsys.readouterr()
  return code, json.loads(out) if out else {}, err


def test_every_stage_is_told_without_any_data(capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  code, plan, progress = _plan(capsys, '--topology=cpu:8', '--gin.MeshConfig.fsdp=2')
  assert code == 0 and plan['fits'] and plan['mesh']['data'] == 4 and plan['mesh']['fsdp'] == 2
  assert [stage['path'] for stage in plan['stages']] == [
    ['balanced'], ['balanced', 'continued'], ['balanced', 'continued', 'cooldown']
  ]
  assert [stage['steps'] for stage in plan['stages']] == [200, 200, 40]
  assert [program['kind'] for program in plan['programs']] == ['train', 'evaluate']
  assert 'compiling the train step' in progress


def test_what_lies_on_a_chip_is_what_the_compiler_was_given(capsys):
  _, replicated, _ = _plan(capsys, '--topology=cpu:8')
  _, sharded, _ = _plan(capsys, '--topology=cpu:8', '--gin.MeshConfig.data=1', '--gin.MeshConfig.fsdp=8')
  whole, eighth = (plan['programs'][0]['bytes_per_chip'] for plan in (replicated, sharded))
  parameters = replicated['programs'][0]['parameters']
  assert whole['weights'] == 4 * parameters
  assert whole['optimizer'] == 8 * parameters + 2 * 4  # two moments, and two counts of steps: Adam's and the run's
  assert whole['batch'] == 5 * 128 * 4 + 2 * 4  # one row of five arrays, its source, and the rate
  norms = 4 * 96  # of three layers and the last, on every chip
  assert eighth['weights'] == 4 * ((parameters - norms) / 8 + norms)
  kinds = {traffic['kind'] for traffic in sharded['programs'][0]['collectives']}
  assert {'all-gather', 'all-reduce'} <= kinds


def test_loops_are_known_and_layers_gather_in_proportion_to_their_number(capsys):
  def gathered(layers: int) -> tuple[float, bool]:
    flags = ('--gin.MeshConfig.data=1', '--gin.MeshConfig.fsdp=8', f'--gin.ModelConfig.layers={layers}')
    program = _plan(capsys, '--topology=cpu:8', *flags)[1]['programs'][0]
    sent = sum(t['sent_bytes'] for t in program['collectives'] if t['kind'] == 'all-gather')
    return sent, program['loops_known']

  (three, known), (six, _), (nine, _) = gathered(3), gathered(6), gathered(9)
  assert known and six > three
  assert nine - six == six - three


def test_stages_that_recipes_share_are_counted_once(capsys):
  code = cli.main(['plan', '--gin_file=studies/quickstart.gin', '--topology=cpu:8', '--format=json'])
  plan = json.loads(capsys.readouterr().out)
  assert code == 0 and len(plan['stages']) == 12 and len(plan['programs']) == 2
  balanced = next(stage for stage in plan['stages'] if stage['path'] == ['balanced'])
  assert balanced['recipes'] == ['balanced_only', 'balanced_to_text', 'balanced_to_text_codefree']


def test_what_does_not_fit_ends_with_2_and_the_smallest_change_that_does(capsys):
  flags = ('--topology=cpu:8', '--gin.Recipe.length=256', "--gin.ModelConfig.attention='xla'")
  _, plan, _ = _plan(capsys, *flags)
  needed = max(program['bytes_per_chip']['total'] for program in plan['programs'])
  code, plan, _ = _plan(capsys, *flags, f'--memory={0.9 * needed / 2**30}')
  assert code == 2 and not plan['fits']
  tried = {tuple(attempt['bindings']): attempt for attempt in plan['attempts']}
  smallest = tried[tuple(plan['smallest_change'])]
  assert smallest['fits'] and smallest['found_by'] == 'compiled' and smallest['bytes_per_chip'] <= 0.9 * needed
  # The change, applied, fits.
  bindings = [f'--gin.{binding}' for binding in plan['smallest_change']]
  code, plan, _ = _plan(capsys, *flags, f'--memory={0.9 * needed / 2**30}', *bindings)
  assert code == 0 and plan['fits'] and plan['smallest_change'] is None


def test_a_state_that_is_too_large_by_itself_is_not_compiled_for(capsys):
  code, plan, _ = _plan(capsys, '--topology=cpu:8', '--memory=0.004')
  assert code == 2
  by_arithmetic = [attempt for attempt in plan['attempts'] if attempt['found_by'] == 'computed']
  assert by_arithmetic and all(attempt['bytes_per_chip'] > 0.004 * 2**30 for attempt in by_arithmetic)


def test_the_table_says_the_same(capsys):
  assert cli.main(['plan', *RECIPE, '--topology=cpu:8', '--memory=0.001']) == 2
  out = capsys.readouterr().out
  assert 'balanced > continued > cooldown' in out and 'does not fit' in out and 'computed' in out


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    (('--topology=v5e:17x17',), 'v5e:16x16'),
    (('--topology=h100:8',), 'v4, v5e, v5p, v6e'),
    (('--topology=cpu:8', '--mfu=40'), '--mfu'),
    (('--topology=cpu:8', '--price=-1'), '--price'),
    (('--topology=cpu:8', '--slices=0'), '--slices'),
    (('--topology=cpu:8', '--gin.MeshConfig.fsdp=3'), 'MeshConfig'),
    (('--topology=cpu:8', '--gin.Stage.batch=12'), 'Stage.batch'),
  ],
)
def test_a_mistake_ends_with_2_and_one_line(flags, told, capsys):
  assert cli.main(['plan', *RECIPE, *flags]) == 2
  err = capsys.readouterr().err.splitlines()
  assert told in err[-1] and err[-1].startswith('codemix plan: ')


@needs_libtpu
def test_the_real_tpu_compiler_takes_a_train_step_and_tells_its_memory():
  # In a process of its own: libtpu is loaded once, and wants none of the tests' settings.
  flags = ['--gin_file=recipes/balanced_to_text.gin', '--gin_file=runtimes/tpu_pod.gin', '--gin.MeshConfig.fsdp=4', '--topology=v5e:2x2', '--price=1.2']
  small = ['--gin.Stage.batch=8', '--gin.ModelConfig.width=128', '--gin.ModelConfig.heads=2', '--gin.ModelConfig.head_dim=64']
  environment = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'JAX_PLATFORMS')}
  ran = subprocess.run(
    [sys.executable, '-m', 'codemix', 'plan', *flags, *small, '--gin.Recipe.length=256', '--format=json'],
    capture_output=True, text=True, env=environment, check=False,
  )
  assert ran.returncode == 0, ran.stderr
  plan = json.loads(ran.stdout)
  train = plan['programs'][0]
  assert plan['chips'] == 4 and train['loops_known']
  assert train['bytes_per_chip']['code'] > 0 and train['bytes_per_chip']['total'] < 2**28
  assert {t['kind'] for t in train['collectives']} >= {'all-gather'}
  assert 0 < train['predicted_mfu_at_most'] < 1
  assert plan['stages'][0]['price'] == pytest.approx(1.2 * plan['stages'][0]['chip_hours_at_assumed_mfu'])


def test_virtual_devices_are_held_to_the_memory_of_this_machine(capsys, monkeypatch):
  flags = ('--topology=cpu:8', '--gin.ModelConfig.layers=1')
  assert _plan(capsys, *flags)[0] == 0
  monkeypatch.setattr('codemix.planner.forecast.memory_bytes', lambda: 8 * 2**20)
  assert cli.main(['plan', *RECIPE, *flags]) == 2
  said = capsys.readouterr().out
  assert 'virtual devices share the memory of this machine: 0.000977 GiB each' in said
  assert 'GiB: does not fit' in said and 'the smallest change' in said or 'none of these fits' in said
