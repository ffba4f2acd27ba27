"""The worked example: three stages over eleven real corpora, from the files as they are distributed to the ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codemix.storage import read_json

ROOT = Path(__file__).resolve().parents[1]
GIN = ROOT / 'tests' / 'gin' / 'eleven_sources.gin'

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def codemix(shared_data, tmp_path_factory):
  """Runs the command on the example, in a folder of its own."""
  folder = tmp_path_factory.mktemp('eleven')
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'CODEMIX_DATA_DIR': str(folder / 'data'), 'XLA_FLAGS': ''}

  def run(verb: str, *words: str) -> str:
    command = [sys.executable, '-m', 'codemix', verb, f'--gin_file={GIN}', f"--gin.CORPORA='{shared_data}/corpora'", *words]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not ran.returncode, ran.stderr
    return ran.stdout + ran.stderr

  run.folder = folder
  return run


def test_the_plan_of_every_source_is_what_the_steps_counted(codemix):
  said = codemix('train')
  folders = sorted((codemix.folder / 'runs/eleven_sources/stages').iterdir())
  assert sorted(folder.name.split('-')[0] for folder in folders) == ['balanced', 'continued', 'cooldown']
  cumulative: dict[str, float] = {}
  for name in ('balanced', 'continued', 'cooldown'):
    [folder] = (codemix.folder / 'runs/eleven_sources/stages').glob(f'{name}-*')
    ledger = read_json(folder / 'ledger.json')
    realised = {entry['source']: entry for entry in ledger['realised']}
    assert len(realised) == (11 if name == 'cooldown' else 10)
    for planned in ledger['planned']:
      for key in ('rows', 'loss_tokens', 'documents'):
        assert realised[planned['source']][key] == planned[key]
      cumulative[planned['source']] = cumulative.get(planned['source'], 0) + planned['rows'] / planned['source_rows']
      assert planned['epochs_cumulative'] == pytest.approx(cumulative[planned['source']])
  assert 'synthetic' in said and 'of the stage: web_text 15.00% to 27.00%' in said
  checked = codemix('inspect', '--check', '--format=json')
  assert [stage['ledger'].split(',')[0] for stage in json.loads(checked[checked.index('[') :])] == ['agrees'] * 3


def test_a_passage_of_a_corpus_is_found_at_the_steps_that_show_it(codemix):
  codemix('prepare')
  shown = json.loads(codemix('inspect', '--stage=balanced', '--step=3', '--format=json'))
  row = next(row for row in shown if row['source'] == 'web_text')
  found = json.loads(codemix('inspect', f'--find={row["text"][10:70]}', '--format=json'))
  seen = [(place['source'], seen['step'], seen['row'], seen['epoch']) for place in found for seen in place['seen']]
  assert ('web_text', 3, shown.index(row), row['epoch']) in seen
