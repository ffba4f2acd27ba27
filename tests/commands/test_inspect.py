"""`codemix inspect` answers one question at a time, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codemix.cli import main
from tests import tiny_study
from tests.commands.test_wrong_input import GIN


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    (['--check', '--time'], 'argument --time: not allowed with argument --check'),
    (['--step=1', '--find=def'], 'argument --find: not allowed with argument --step'),
    (['--stage=code'], '--stage=code: add --step=N, --find=TEXT or --time'),
    (['--stage=code', '--check'], '--stage=code: add --step=N'),
  ],
)
def test_a_flag_that_would_be_passed_over_is_refused(flags, told, capsys):
  assert main(['inspect', '--gin_file=recipes/balanced_to_text.gin', *flags]) == 2
  assert told in capsys.readouterr().err


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
  root = tmp_path_factory.mktemp('place')
  tiny_study.prepare(root / 'data', bytes_each=6_000)
  (root / 'recipe.gin').write_text(GIN)
  assert main(['train', *words(root)]) == 0
  return root


def words(root: Path) -> tuple[str, ...]:
  data, output = f"--gin.Data.directory='{root / 'data'}'", f"--gin.Runtime.output='{root / 'out'}'"
  return f'--gin_file={root / "recipe.gin"}', data, output


def test_each_document_that_holds_a_passage_is_named_once_with_each_row_once(place, capsys):
  assert main(['inspect', *words(place), '--find=return']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == len(set(lines)) > 1
  assert main(['inspect', *words(place), '--find=return', '--format=json']) == 0
  found = json.loads(capsys.readouterr().out)
  assert len(found) == len({(place['source'], place['document']) for place in found})
  assert max(place['times'] for place in found) > 1
  assert all(f'({place["times"]} times)' in ' '.join(lines) for place in found if place['times'] > 1)


@pytest.mark.parametrize('flag', ['--step=1', '--stage=first', '--find=x', '--check', '--time', '--model', '--gin_file=recipe.gin', '--gin.Stage.batch=8'])
def test_a_question_about_a_recipe_is_refused_where_a_store_is_named(flag, place, capsys):
  assert main(['inspect', str(place / 'data'), flag]) == 2
  assert 'asks about a recipe or study' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('folder', 'told'),
  [
    ('out', 'holds no token store, but the stage'),
    ('out/stages', 'holds no token store, but the stage'),
    ('nope', 'does not exist'),
    ('out/study.json', 'is a file'),
  ],
)
def test_what_is_not_a_token_store_is_called_what_it_is(folder, told, place, capsys):
  assert main(['inspect', str(place / folder)]) == 2
  assert f'{place / folder} {told}' in capsys.readouterr().err


def test_a_data_folder_is_inspected_store_by_store(place, capsys):
  assert main(['inspect', str(place / 'data'), '--format=json']) == 0
  assert [store['task'] for store in json.loads(capsys.readouterr().out)] == ['code', 'code', 'text', 'text']


def test_a_stage_named_a_wins_over_one_whose_hash_begins_with_a(place, capsys):
  """In every verb that takes a stage; a name is tried for which another stage's hash begins so."""
  capsys.readouterr()
  assert main(['inspect', *words(place), '--format=json']) == 0
  other = json.loads(capsys.readouterr().out)['recipe'][1]['hash'][0]
  renamed = (*words(place), f"--gin.first/Stage.name='{other}'")
  assert main(['inspect', *renamed, f'--stage={other}', '--step=1']) == 0
  assert main(['inspect', *renamed, f'--stage={other}', '--time', '--format=json']) == 0
  assert main(['evaluate', *renamed, f'--stage={other}', '--format=json']) == 0
  evaluated = capsys.readouterr().out
  assert f'"stage": "{other}"' in evaluated and '"stage": "second"' not in evaluated


def test_generate_finds_a_stage_by_its_name_beside_others(place, capsys):
  prompt = ('--prompt=x', '--max_new_tokens=2', '--format=json')
  whole = next((place / 'out' / 'stages').glob('second-*'))
  texts = []
  for path in (whole, place / 'out' / 'stages' / 'second', place / 'out' / 'second', place / 'out' / whole.name[:-4]):
    assert main(['generate', f'--stage={path}', *prompt]) == 0
    texts.append(capsys.readouterr().out)
  assert len(set(texts)) == 1
  assert main(['generate', f'--stage={place / "out" / "secnd"}', *prompt]) == 2
  assert "there is first, second. Did you mean 'second'?" in capsys.readouterr().err
  assert main(['generate', f'--stage={place / "out"}', *prompt]) == 2
  assert 'it holds first-' in capsys.readouterr().err
