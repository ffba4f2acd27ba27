"""`@seqio_mixture` from gin to training: read by `codemix prepare`, trained on without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests import tiny_study
from tests.commands.test_wrong_input import GIN

MODULE = """
import os

import seqio
from codemix.data.seqio.tasks import register_jsonl_task

HERE = os.path.dirname(__file__)

for name in ('text', 'code'):
  register_jsonl_task(f'mixed_{name}', {split: f'{HERE}/{name}.jsonl' for split in ('train', 'validation')})
seqio.MixtureRegistry.add('inner', [('mixed_text', 1), ('mixed_code', 1)])
seqio.MixtureRegistry.add('outer', [('inner', 0.5), ('mixed_code', lambda task: 0.25)])
"""

MIXTURE = """
outer/seqio_mixture.name = 'outer'
outer/seqio_mixture.rates = '{rates}'
first/Stage.mixture = @outer/seqio_mixture()
second/Stage.mixture = {{'mixed_text': 0.5, 'rest': (0.5, @outer/seqio_mixture())}}
Data.task_modules = ('my_mixtures',)
Study.validation = ('mixed_text',)
Study.sample_tokens = 2
Recipe.max_epochs = 100
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('mixtures')
  for name, words in (('text', 12), ('code', 60)):
    lines = [json.dumps({'text': text.decode()}) for text in tiny_study.documents(name, words, 3000 // words, seed=1)]
    (folder / f'{name}.jsonl').write_text('\n'.join(lines))
  (folder / 'my_mixtures.py').write_text(MODULE)
  blocked = folder / 'blocked'
  blocked.mkdir()
  for package in ('tensorflow', 'seqio'):
    (blocked / f'{package}.py').write_text("raise ImportError('blocked')")
  for rates in ('documents', 'tokens'):
    (folder / f'{rates}.gin').write_text(GIN + MIXTURE.format(rates=rates))
  return folder


def codemix(folder: Path, verb: str, rates: str, *flags: str, blocked: bool = False, expect: int = 0):
  path = [str(folder / 'blocked')] if blocked else []
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': os.pathsep.join([*path, str(folder), os.getcwd()])}
  settings = (f"--gin.Data.directory='{folder / 'data'}'", f"--gin.Runtime.output='{folder / 'runs' / rates}'")
  command = [sys.executable, '-m', 'codemix', verb, f'--gin_file={folder / rates}.gin', *settings, *flags]
  ran = subprocess.run(command, capture_output=True, text=True, env=environment)
  assert ran.returncode == expect, ran.stderr
  return ran


def stage(folder: Path, rates: str, name: str) -> dict:
  [path] = (folder / 'runs' / rates).glob(f'stages/{name}-*/plan.json')
  return json.loads(path.read_text())


def test_a_registered_mixture_is_prepared_and_trained_on_without_tensorflow(folder):
  codemix(folder, 'prepare', 'tokens')
  codemix(folder, 'train', 'tokens', blocked=True)
  tree = stage(folder, 'tokens', 'first')['mixture']
  assert tree['parts'] == [
    {
      'name': 'outer',
      'weight': '1',
      'parts': [
        {'name': 'inner', 'weight': '2/3', 'parts': [{'name': 'mixed_text', 'weight': '1/2'}, {'name': 'mixed_code', 'weight': '1/2'}]},
        {'name': 'mixed_code', 'weight': '1/3'},
      ],
    }
  ]


def test_rates_of_documents_follow_the_lengths_of_the_documents(folder):
  codemix(folder, 'train', 'documents')
  code = Fraction(0)
  for part in stage(folder, 'documents', 'first')['mixture']['parts'][0]['parts']:
    inner = {p['name']: Fraction(p['weight']) for p in part.get('parts', [{'name': part['name'], 'weight': '1'}])}
    code += Fraction(part['weight']) * inner['mixed_code']
  assert code > Fraction(5, 6)  # of the documents 2/3, and they are longer


def test_an_edited_rate_is_read_before_the_next_training(folder):
  codemix(folder, 'prepare', 'tokens')
  module = folder / 'my_mixtures.py'
  module.write_text(MODULE.replace('0.25', '0.5'))
  ran = codemix(folder, 'inspect', 'tokens', '--stage=first', '--step=1', expect=2)
  assert 'my_mixtures.py was edited after' in ran.stderr and 'codemix prepare' in ran.stderr
  codemix(folder, 'train', 'tokens', '--gin.first/Stage.name=\'edited\'')
  assert stage(folder, 'tokens', 'edited')['mixture']['parts'][0]['parts'][1]['weight'] == '1/2'
  module.write_text(MODULE)


def test_a_mixture_named_as_a_source_is_refused_with_what_to_write(folder):
  ran = codemix(folder, 'prepare', 'tokens', "--gin.second/Stage.mixture={'outer': 1}", expect=2)
  assert "'outer' is a SeqIO mixture, not a task. In a stage's mixture write @outer/seqio_mixture() in place of the name" in ran.stderr
  ran = codemix(folder, 'prepare', 'tokens', "--gin.outer/seqio_mixture.name='outre'", expect=2)
  assert "no SeqIO mixture is named 'outre'. Did you mean 'outer'" in ran.stderr
