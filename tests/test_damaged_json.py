"""Whatever stands in a JSON file that codemix wrote, reading it is no traceback, and never the right result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codemix.checkpoints import damage
from codemix.data.store.token_store import open_store
from codemix.errors import UserError
from codemix.evaluation.results import Results, read_results, write_results
from codemix.identity import digest
from codemix.report.results import read_study
from codemix.storage import write_json
from codemix.studies.load_stage import load_stage
from codemix.training.stage_record import read_done, read_ledger, read_stage
from tests.data.stores import make_store
from tests.report.fake_study import paper_recipes, stage_folders, write_fake_study

WHOLE = ('[]', '{}', 'null', '7', '"x"', 'true', '[[]]', '{"format": 2}', '{"format": 2, ', '', '\0\0\0', '\ufeff{}', 'x')
WRONG = (None, [], {}, 'x', -1.5, [None], {'x': None}, True)


def stage(place: Path) -> tuple[Path, Path]:
  """The output folder of a finished study, and its first stage."""
  recipes = {name: stages[:1] for name, stages in paper_recipes(steps=4).items()}
  output = write_fake_study(place / 'study', recipes, documents=8)
  folder = stage_folders(output)[0]
  identity = {'tokenizer': {'kind': 'bytes', 'digest': ''}}
  write_json(folder / 'stage.json', {'name': 'balanced', 'hash': digest(identity), 'parent': None, 'identity': identity})
  write_json(folder / 'done.json', {'step': 4, 'checkpoint': 'x', 'ledger': 'y'})
  return output, folder


def altered(value: dict) -> Iterator[tuple[str, str]]:
  """(where, text) of the JSON with a value of another kind in each of its places down to the third."""
  for content in WHOLE:
    yield 'all of it', content
  for path, found in places(value):
    for wrong in WRONG:
      if type(wrong) is not type(found):
        copy = json.loads(json.dumps(value))
        inner = copy
        for key in path[:-1]:
          inner = inner[key]
        inner[path[-1]] = wrong
        yield '.'.join(map(str, path)), json.dumps(copy)


def places(value, above: tuple = ()) -> Iterator[tuple[tuple, object]]:
  keys = value if isinstance(value, dict) else range(min(len(value), 2)) if isinstance(value, list) else ()
  for key in list(keys):
    yield (*above, key), value[key]
    if len(above) < 2:
      yield from places(value[key], (*above, key))


def refused(read, path: Path) -> int:
  """Reads with every alteration of a file; a UserError of one line, or what does not look at that place. Returns the number of refusals."""
  whole, count = path.read_text(), 0
  for where, text in altered(json.loads(whole)):
    path.write_text(text)
    try:
      read()
    except UserError as error:
      count += 1
      assert '\n' not in str(error), where
    except Exception as error:
      raise AssertionError(f'{path.name}: {where}: {text[:200]}') from error
  path.write_text(whole)
  return count


def test_the_manifest_of_a_store(tmp_path):
  make_store(tmp_path, [30] * 4)
  assert refused(lambda: open_store(tmp_path), tmp_path / 'manifest.json') > 100


@pytest.mark.parametrize('name', ['stage.json', 'done.json', 'ledger.json'])
def test_what_a_stage_leaves(name, tmp_path):
  _, folder = stage(tmp_path)
  read = {'stage.json': lambda: load_stage(folder), 'done.json': lambda: read_done(folder), 'ledger.json': lambda: read_ledger(folder)}
  assert refused(read[name], folder / name) > 20
  for content in WHOLE:
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=f'{name} '):
      {'stage.json': read_stage, 'done.json': read_done, 'ledger.json': read_ledger}[name](folder)


@pytest.mark.parametrize('name', ['plan.json', 'evaluation.json', 'evaluation/held_out/text.json', 'evaluation/samples.json', 'ledger.json', 'stage.json'])
def test_what_a_report_reads(name, tmp_path):
  output, folder = stage(tmp_path)
  for content in WHOLE:
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=f'{name} is damaged'):
      read_study(output)


@pytest.mark.parametrize('name', ['plan.json', 'evaluation/held_out/text.json', 'evaluation/samples.json', 'ledger.json', 'stage.json', 'study.json'])
def test_no_place_in_what_a_report_reads_may_hold_another_kind(name, tmp_path):
  output, folder = stage(tmp_path)
  assert refused(lambda: read_study(output), (output if name == 'study.json' else folder) / name) > 5


def test_the_results_of_an_evaluator(tmp_path):
  scores = {'documents': 1, 'tokens': 2, 'bytes': 3, 'nats': 4.0, 'loss': 2.0, 'bits_per_byte': 1.9}
  results = Results(scores, {'nats': np.ones(1)}, [{'prompt': 'a', 'method': 'greedy', 'text': 'b'}])
  write_results(tmp_path, 'held_out/text', 4, {'checkpoint': 'x'}, results)
  path = tmp_path / 'evaluation' / 'held_out' / 'text.json'
  items = lambda: [found.items() for found in read_results(tmp_path).values()]
  assert refused(items, path) > 50
  for content in WHOLE:
    path.write_text(content)
    with pytest.raises(UserError, match='text.json is damaged'):
      read_results(tmp_path)


def test_the_study(tmp_path):
  output, _ = stage(tmp_path)
  for content in WHOLE:
    (output / 'study.json').write_text(content)
    with pytest.raises(UserError, match='study.json'):
      read_study(output)


def test_the_digest_file_of_a_checkpoint(tmp_path):
  (tmp_path / '4').mkdir()
  for content in WHOLE:
    (tmp_path / '4.digest.json').write_text(content)
    assert content == '{}' or damage(tmp_path, 4) == 'its digest file 4.digest.json cannot be read'
