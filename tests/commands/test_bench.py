import dataclasses
import importlib
import json

import pytest

from codemix.benchmarks.figure import Figure
from codemix.cli import main
from codemix.commands.bench import BENCHMARKS, given_size
from codemix.errors import UserError


def test_every_figure_of_the_data_benchmark_is_measured(capsys, tmp_path):
  sizes = ('--size=tokens=3_000_000', '--size=batches=40', '--size=text_bytes=1_000_000', '--size=repeats=1', '--size=stage_rows=300_000')
  assert main(['bench', 'data', f'--folder={tmp_path}', '--format=json', *sizes]) == 0
  printed = json.loads(capsys.readouterr().out)
  assert printed['size']['batches'] == 40
  figures = {figure['name']: figure for figure in printed['figures']}
  for name in ('rows from a cold cache', 'rows, one process', 'position of a step', 'prepare to the tokenizer alone'):
    assert figures[name]['value'] > 0
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['dat'], "there is no benchmark 'dat'.*Did you mean 'data'"),
    (['data', '--size=batchs=3'], "--size=batchs=3: write NAME=NUMBER.*Did you mean 'batches'"),
    (['data', '--size=batches=-3'], '--size=batches=-3: write NAME=NUMBER'),
    (['data', '--size=batches=_5'], '--size=batches=_5: write NAME=NUMBER'),
    (['data', '--size=batches=1__0'], '--size=batches=1__0: write NAME=NUMBER'),
    (['data', '--size=batches=²'], '--size=batches=²: write NAME=NUMBER'),
    (['data', '--size=batches='], '--size=batches=: write NAME=NUMBER'),
    (['data', '--size=batches'], '--size=batches: write NAME=NUMBER'),
    (['data', '--size=tokens=1'], '--size=tokens=1: write 1_000_000 or more'),
    (['loop', '--size=interval=1'], '--size=interval=1: write 2 or more'),
    (['attention', '--size=kv_heads=3'], '--size=kv_heads=3: it must divide heads = 4'),
    (['data', '--folder=/no/such/folder'], 'is not a folder'),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_two(capsys, words, message):
  import re

  assert main(['bench', *words]) == 2
  printed = capsys.readouterr().err.strip().splitlines()
  assert len(printed) == 1 and re.search(message, printed[0])


# Where 0 has a meaning of its own.
ZEROS = {'generation': {'linear_prompts'}, 'loop': {'rows', 'warm_up', 'step_cores'}, 'loss': {'chunk'}, 'matmul': {'side'}}


@pytest.mark.parametrize('benchmark', BENCHMARKS)
def test_zero_is_taken_where_it_has_a_meaning_and_refused_elsewhere(benchmark):
  form = importlib.import_module(f'codemix.benchmarks.{benchmark}').Size
  for field in dataclasses.fields(form):
    if field.name in ZEROS.get(benchmark, ()):
      assert getattr(given_size(form, [f'{field.name}=0']), field.name) == 0
    else:
      with pytest.raises(UserError, match=f'--size={field.name}=0: write 1 or more'):
        given_size(form, [f'{field.name}=0'])


def test_a_goal_is_reached_from_its_own_side():
  assert Figure('speed', 21, 'M tokens/s', goal=20).reached
  assert not Figure('speed', 19, 'M tokens/s', goal=20).reached
  assert Figure('memory', 19, 'MiB', goal=20, more_is_better=False).reached
  assert not Figure('memory', 21, 'MiB', goal=20, more_is_better=False).reached
  assert Figure('rows', 5, 'rows').reached is None
