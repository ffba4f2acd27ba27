"""`codemix contamination` on a trained recipe, and the held-out scores of what is clean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from codemix import cli
from codemix.contamination.clean import clean_items
from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.evaluation.results import read_results
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.contamination.corpus import TOKENIZER


def _ids(text: str):
  return np.append(TOKENIZER.encode(text), TOKENIZER.eos_id), len(text)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
  """A run in whose text every document of a held-out split but one stands, and one question."""
  root = tmp_path_factory.mktemp('trained')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  leaked = [text.decode() for text in tiny_study.documents('text', 40, 4, seed=1)]
  question = 'how many grey herons nest on the island behind the old mill in spring'
  tiny_study.write_store(data, 'text', 'train', [_ids(text) for text in [*leaked[:3], question] * 3])
  tiny_study.write_store(data, 'text', 'validation', [_ids(text) for text in leaked])
  (root / 'quiz.jsonl').write_text(
    ''.join(json.dumps({'question': q, 'answer': ''}) + '\n' for q in (question, question.replace('grey', 'white')))
  )
  (root / 'recipe.gin').write_text(GIN.replace("Stage.tokens = 512", "Stage.tokens = 8192") + "\nRecipe.max_epochs = 100\n")
  assert _main(root, 'train') == 0
  return root


@pytest.fixture
def place(trained, tmp_path) -> Path:
  return Path(shutil.copytree(trained, tmp_path / 'place'))


def _main(root: Path, verb: str, *flags: str) -> int:
  return cli.main(
    [verb, f'--gin_file={root / "recipe.gin"}', f"--gin.Data.directory='{root / 'data'}'", f"--gin.Runtime.output='{root / 'out'}'", *flags]
  )


def test_what_was_consumed_is_reported_by_stage_and_source(place, capfd):
  assert _main(place, 'contamination', f'--items=quiz={place / "quiz.jsonl"}') == 0
  printed = capfd.readouterr().out
  result = json.loads((place / 'out' / 'contamination.json').read_text())
  assert all(stage['finished'] for stage in result['stages'])
  assert [s['set'] for s in result['sets']] == ['quiz', 'held_out/text']
  found = {(item['set'], item['id']): item['share'] for item in result['items']}
  assert found[('quiz', '0')] == 1.0 and found[('held_out/text', '0')] == 1.0
  assert found.get(('quiz', '1'), 0) < 1
  lines = [line.split() for line in printed.splitlines() if line.startswith('quiz')]
  assert [line[2:] for line in lines] == [['2', '0', '1', '1', '1']]
  assert lines[0][1].startswith('first-')
  assert str(place / 'out' / 'contamination.json') in printed


def test_sets_in_gin_are_checked_before_anything_is_trained(place, capfd):
  shutil.rmtree(place / 'out')
  files = str(place / 'quiz.jsonl')
  with open(place / 'recipe.gin', 'a') as gin:
    gin.write(
      "\nContamination.sets = [@quiz/EvaluationSet()]\nquiz/EvaluationSet.name = 'quiz'\n"
      f"quiz/EvaluationSet.files = {files!r}\nquiz/EvaluationSet.layout = @ItemLayout()\n"
      "ItemLayout.question = ('question',)\nContamination.words = @WordWindows()\nWordWindows.n = 5\nWordWindows.minimum = 5\n"
    )
  assert _main(place, 'contamination', '--no_held_out', '--format=json') == 0
  result = json.loads(capfd.readouterr().out)
  assert not any(stage['finished'] for stage in result['stages'])
  assert result['settings']['words'] == {'n': 5, 'minimum': 5}
  shares = {item['id']: item['share'] for item in result['items']}
  assert shares['0'] == 1.0 and 0 < shares['1'] < 1  # one word of it is another


def test_clean_items_and_their_scores(place, capfd):
  assert _main(place, 'contamination') == 0
  path = place / 'out' / 'contamination.json'
  clean = clean_items(path, 'held_out/text')
  assert '0' not in clean and '3' in clean
  capfd.readouterr()
  assert _main(place, 'evaluate', f'--contamination={path}', '--format=json') == 0
  results = json.loads(capfd.readouterr().out)
  for folder, result in results.items():
    kept = np.asarray(clean_items(path, 'held_out/text', Path(folder).name), int)
    score = result['clean']['text']
    items = read_results(Path(folder))['held_out/text'].items()
    nats, size = items['nats'][kept].sum(), items['bytes'][kept].sum()
    assert score['left_out'] == len(items['nats']) - len(kept) > 0
    assert score['documents'] == len(kept)
    assert score['bits_per_byte'] == pytest.approx(nats / np.log(2) / size)
  assert _main(place, 'evaluate', f'--contamination={path}') == 0
  assert 'documents left out' in capfd.readouterr().out


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    (['--items=quiz'], 'write --items=NAME=FILE'),
    (['--items=quiz=absent.jsonl'], 'absent.jsonl'),
    (['--items=quiz={place}/quiz.jsonl', '--items=quiz={place}/quiz.jsonl'], "two evaluation sets are named 'quiz'"),
    (['--no_held_out'], 'no evaluation set is named'),
  ],
)
def test_mistakes_are_one_line(flags, says, place, capfd):
  capfd.readouterr()
  assert _main(place, 'contamination', *(flag.format(place=place) for flag in flags)) == 2
  said = capfd.readouterr().err
  assert says in said and 'Traceback' not in said
  assert not (place / 'out' / 'contamination.json').exists()


def test_a_ledger_that_says_something_else_is_refused(place, capfd):
  ledger = next((place / 'out' / 'stages').glob('first-*/ledger.json'))
  written = json.loads(ledger.read_text())
  written['realised'][0]['rows'] += 1
  ledger.write_text(json.dumps(written))
  assert _main(place, 'contamination') == 2
  assert 'does not agree with its recipe' in capfd.readouterr().err


def test_clean_items_refuses_another_set_stage_or_file(place):
  assert _main(place, 'contamination') == 0
  path = place / 'out' / 'contamination.json'
  with pytest.raises(UserError, match="Did you mean 'held_out/text'"):
    clean_items(path, 'held_out/txt')
  with pytest.raises(UserError, match='other stages'):
    clean_items(path, 'held_out/text', 'third-0')
  path.write_text('{"format": 99}')
  with pytest.raises(UserError, match='run it again'):
    clean_items(path, 'held_out/text')


def test_scores_of_another_split_are_refused(place, capfd):
  assert _main(place, 'contamination') == 0
  path = place / 'out' / 'contamination.json'
  data = Data(directory=str(place / 'data'), tokenizer='bytes')
  tiny_study.write_store(data, 'text', 'validation', [_ids('another document')])
  assert _main(place, 'evaluate', f'--contamination={path}') == 2
  assert 'another held-out split' in capfd.readouterr().err
