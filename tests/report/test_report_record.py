"""A report says what it was computed from, and `codemix verify` finds whatever is not that any more."""

from __future__ import annotations

import collections
import csv
import io
import json
import random
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from codemix import cli
from codemix.report import figures, frames, html
from codemix.report.content import gather
from codemix.report.figures import Pictures
from codemix.report.output_changes import differences
from codemix.report.record import TABLES, kind_of, read_record
from codemix.report.results import read_study
from codemix.report.write import texts, write_report
from codemix.studies.study_record import keep_former
from tests.report.fake_study import edit, named, stage, stage_folders, write_fake_study

RECIPES = {
  'plain': [stage('text', {'text': 1.0}, 6), stage('more', {'text': 1.0}, 6)],
  'mixed': [stage('text', {'text': 1.0}, 6), stage('code', {'text': 0.5, 'code': 0.5}, 6)],
}


@pytest.fixture(scope='module', autouse=True)
def without_pictures():
  """Drawing is most of the time of a report; `tests/studies/test_report_of_a_run.py` verifies one with its pictures."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(figures, 'draw', lambda content, **_: Pictures([], [], [], [], [], [], collections.defaultdict(list), []))
    yield


@pytest.fixture(scope='module')
def reported(tmp_path_factory) -> Path:
  study = write_fake_study(tmp_path_factory.mktemp('reported') / 'study', RECIPES, documents=12)
  write_report(study)
  return study


@pytest.fixture
def study(reported, tmp_path) -> Path:
  return Path(shutil.copytree(reported, tmp_path / 'study'))


def verify(study: Path, capsys: pytest.CaptureFixture, name: str = 'report.html') -> tuple[int, dict, str]:
  """(exit code, what JSON says of the report, the error)."""
  capsys.readouterr()
  code = cli.main(['verify', str(study / name), '--format=json'])
  said = capsys.readouterr()
  assert 'Traceback' not in said.err
  [found] = json.loads(said.out)
  return code, found, next((line for line in said.err.splitlines() if line.startswith('codemix verify:')), '')


def places(found: dict, kind: str) -> list[str]:
  return [finding['place'] for finding in found['findings'] if finding['kind'] == kind]


# What is as it was written.


@pytest.mark.parametrize('name', ['report.html', 'report.json', 'scores.csv'])
def test_a_report_is_verified_by_any_of_its_files(study, capsys, name):
  code, found, error = verify(study, capsys, name)
  assert (code, found['kind'], found['state'], found['findings'], error) == (0, 'report', 'as its units say', [], '')
  assert found['units'] == 3 and found['files'] == 4 and found['values'] > 1000


def test_every_file_that_is_read_for_a_report_is_in_its_record(study):
  read, watching = set(), [True]

  def watch(event: str, arguments: tuple) -> None:
    if watching[0] and event == 'open' and isinstance(arguments[0], str) and arguments[0].startswith(f'{study}/') and arguments[1] in ('r', 'rb'):
      read.add(arguments[0].removeprefix(f'{study}/'))

  sys.addaudithook(watch)
  try:
    gather(read_study(study))
  finally:
    watching[0] = False
  assert read and read <= read_record(study).inputs.keys()
  assert {f'stages/{folder.name}' for folder in stage_folders(study)} == {f'stages/{unit}' for unit in read_record(study).units}


def test_each_table_depends_on_the_kinds_of_files_that_it_names_alone(study):
  def sections() -> dict[str, str]:
    made = texts(gather(read_study(study)))
    cut = made['report.html'].split('<section id="')[1:]
    return {name: text for name, text in made.items() if name.endswith('.csv')} | {f'report.html#{part.partition(chr(34))[0]}': part for part in cut}

  def double(path: Path) -> None:
    edit(path, lambda found: found['scores'].update({name: 2 * value for name, value in found['scores'].items() if name in ('nats', 'loss', 'bits_per_byte')}))
    path.with_suffix('.parquet').unlink()
    edit(path, lambda found: found.pop('items'))

  folder = named(study, 'code')
  harm = {
    f'stages/{folder.name}/evaluation/held_out/text.json': double,
    f'stages/{folder.name}/evaluation/samples.json': lambda path: edit(path, lambda found: found['samples'][0].update(text='something else')),
    f'stages/{folder.name}/time.jsonl': lambda path: path.write_text(json.dumps({'from': 0, 'step': 6, 'seconds': {'step': 6000}}) + '\n'),
  }
  before = sections()
  for name, change in harm.items():
    whole = {path: path.read_bytes() for path in (study / name).parent.iterdir() if path.is_file()}
    change(study / name)
    changed = {table for table, text in sections().items() if text != before[table]}
    assert changed and changed <= {table for table, kinds in TABLES.items() if kind_of(name) in kinds}, name
    for path, content in whole.items():
      path.write_bytes(content)


# What was altered in the report.


def test_any_altered_character_of_any_number_of_a_csv_is_found_and_named(study):
  for name in ('results.csv', 'scores.csv'):
    text = (study / name).read_text()
    lines = list(csv.reader(io.StringIO(text)))
    numbers = [(row, column) for row, line in enumerate(lines[1:], 1) for column, cell in enumerate(line) if _is_number(cell)]
    assert len(numbers) > 100
    draw = random.Random(0)
    for row, column in draw.sample(numbers, 100):
      cell = lines[row][column]
      for at in range(len(cell)):
        other = cell[:at] + ('7' if cell[at] != '7' else '8') + cell[at + 1 :]
        altered = [*lines[:row], [*lines[row][:column], other, *lines[row][column + 1 :]], *lines[row + 1 :]]
        found = list(differences(name, _as_csv(altered), text, as_written=False))
        assert len(found) == 1 and f'column {lines[0][column]}' in found[0].place and (found[0].written, found[0].computed) == (other, cell)


def _is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return False
  return True


def _as_csv(lines: list[list[str]]) -> str:
  out = io.StringIO()
  csv.writer(out, lineterminator='\n').writerows(lines)
  return out.getvalue()


def test_an_altered_cell_of_a_csv_fails_and_is_named(study, capsys):
  table = (study / 'results.csv').read_text()
  number = next(line for line in csv.DictReader(io.StringIO(table)) if line['recipe'] == 'mixed' and line['position'] == '2' and line['source'] == 'code')['bits_per_byte']
  (study / 'results.csv').write_text(table.replace(number, f'{number[:-1]}{"1" if number[-1] != "1" else "2"}'))
  code, found, error = verify(study, capsys)
  assert code == 2 and found['state'] == 'altered'
  assert places(found, 'altered') == ['results.csv']
  assert 'row mixed, 2, code, column bits_per_byte' in error and number in error


@pytest.mark.parametrize('name', ['report.html', 'report.md'])
def test_an_altered_number_of_a_page_fails_and_is_named_by_its_table_row_and_column(study, capsys, name):
  page = (study / name).read_text()
  bits = f'{json.loads((named(study, "code") / "evaluation/held_out/code.json").read_text())["scores"]["bits_per_byte"]:.3f}'
  assert bits in page
  at = page.index(bits)
  (study / name).write_text(page[:at] + '9' + page[at + 1 :])
  code, found, error = verify(study, capsys)
  assert code == 2 and places(found, 'altered') == [name]
  assert 'row mixed' in error.replace('**', '') and 'column On code' in error and f'9{bits[1:]}' in error


def test_an_altered_number_of_a_table_for_a_paper_fails_and_is_named(study, capsys):
  write_report(study, files=True)
  code, found, _ = verify(study, capsys)
  assert code == 0 and found['files'] > 4
  path = study / 'report_files' / 'tables' / 'summary.tex'
  whole = path.read_text()
  number = re.search(r'& (\d+\.\d)', whole)
  path.write_text(f'{whole[: number.end() - 1]}{(int(number[1][-1]) + 1) % 10}{whole[number.end() :]}')
  code, found, error = verify(study, capsys)
  assert code == 2 and 'report_files/tables/summary.tex differs at line' in error
  path.write_text(whole)
  (study / 'report_files' / 'data' / 'scores.parquet').write_bytes(b'PAR1')
  code, _, error = verify(study, capsys)
  assert code == 2 and 'report_files/data/scores.parquet was changed after it was written' in error


def test_the_rows_of_the_parquet_files_are_those_of_the_csv_files(study):
  write_report(study, files=True)
  for name in ('results', 'scores'):
    parquet = pd.read_parquet(study / 'report_files' / 'data' / f'{name}.parquet')
    assert parquet.to_csv(index=False, lineterminator='\n') == (study / f'{name}.csv').read_text()


def test_the_tables_of_a_study_without_claims_are_not_said_to_be_of_claims(study, capsys):
  edit(next(study.glob('stages/*/ledger.json')), lambda ledger: ledger.update({'more': 1}))
  _, found, _ = verify(study, capsys)
  used = {table for finding in found['findings'] for table in finding['tables']}
  assert 'results.csv' in used and not [table for table in used if 'claims' in table or 'files' in table]


def test_what_is_no_number_of_a_page_is_found_by_its_digest(study, capsys):
  with (study / 'report.html').open('a') as page:
    page.write('\n')
  code, found, error = verify(study, capsys)
  assert code == 2 and places(found, 'altered') == ['report.html'] and 'was changed after it was written' in error


def test_a_missing_file_of_a_report_and_a_changed_record_are_found(study, capsys):
  (study / 'scores.csv').unlink()
  code, found, _ = verify(study, capsys)
  assert code == 2 and places(found, 'missing') == ['scores.csv']
  record = json.loads((study / 'report.json').read_text())
  record['outputs'].pop('scores.csv')
  (study / 'report.json').write_text(json.dumps(record))
  code, found, error = verify(study, capsys)
  assert code == 2 and 'report.json was changed' in error


# What was altered in its units.


def test_an_altered_score_fails_also_if_its_digest_was_made_again(study, capsys):
  folder = named(study, 'code')
  name = f'stages/{folder.name}/evaluation/held_out/code.json'
  record = json.loads((study / name).read_text())
  record['scores']['nats'] *= 1.001
  (study / name).write_text(json.dumps(record))
  code, found, error = verify(study, capsys)
  assert code == 2 and places(found, 'altered') == [name] and 'its digest is not that of its content' in error
  edit(study / name, lambda found: None)  # which makes the digest again
  (study / name).with_suffix('.parquet').unlink()
  edit(study / name, lambda found: found.pop('items'))
  code, found, error = verify(study, capsys)
  assert code == 2 and name in places(found, 'altered') and 'something else of the same checkpoint' in error
  differing = [finding['says'] for finding in found['findings'] if finding['place'] == 'results.csv']
  assert any('row mixed, 2, code, column validation_nats' in says for says in differing)


def test_an_altered_metric_fails_and_names_its_file_and_its_tables(study, capsys):
  folder = named(study, 'more')
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  lines[3]['loss'] += 1e-6
  (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
  code, found, error = verify(study, capsys)
  assert code == 2 and places(found, 'altered') == [f'stages/{folder.name}/metrics.jsonl']
  assert 'was changed after its stage was done' in error and 'report.html#training' in found['findings'][0]['tables']


@pytest.mark.parametrize('name', ['ledger.json', 'plan.json', 'rate.csv', 'stage.json', 'timing.jsonl'])
def test_any_altered_number_that_a_report_reads_fails_and_names_its_file(study, capsys, name):
  path = named(study, 'code') / name
  whole = path.read_text()
  at = next(index for index in reversed(range(len(whole))) if whole[index].isdigit())
  path.write_text(whole[:at] + ('1' if whole[at] != '1' else '2') + whole[at + 1 :])
  code, found, _ = verify(study, capsys)
  assert code == 2 and f'stages/{path.parent.name}/{name}' in places(found, 'altered')


def test_a_missing_unit_is_named(study, capsys):
  folder = named(study, 'more')
  shutil.rmtree(folder)
  code, found, error = verify(study, capsys)
  assert code == 2 and places(found, 'missing') == [f'stages/{folder.name}'] and 'is missing' in error


def test_a_study_file_that_was_edited_is_altered(study, capsys):
  edit(study / 'study.json', lambda record: record.update(baseline='mixed'))
  code, found, _ = verify(study, capsys)
  assert code == 2 and 'study.json' in places(found, 'altered')


# What is stale.


def test_a_report_of_fewer_arms_is_stale_and_not_altered(study, capsys):
  whole = json.loads((study / 'study.json').read_text())
  later = {**whole, 'provenance': {**whole['provenance'], 'date': '2999-01-01T00:00:00+00:00'}}
  (study / 'study.json').write_text(json.dumps({**whole, 'recipes': {'plain': whole['recipes']['plain']}}))
  write_report(study)
  (study / 'study.json').write_text(json.dumps(later))
  code, found, error = verify(study, capsys)
  assert code == 2 and found['state'] == 'stale' and 'is stale' in error and 'codemix report' in error
  assert f'stages/{named(study, "code").name}' in places(found, 'stale') and not places(found, 'altered')
  # A stale report that somebody changed as well was altered.
  (study / 'results.csv').write_text((study / 'results.csv').read_text().replace('plain', 'plane'))
  code, found, _ = verify(study, capsys)
  assert (code, found['state'], places(found, 'altered')) == (2, 'altered', ['results.csv'])


def test_a_report_from_the_midst_of_a_stage_is_stale_when_the_stage_went_on(study, capsys):
  folder = named(study, 'more')
  kept = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  for name in ('done.json', 'ledger.json'):
    (folder / name).unlink()
  shutil.rmtree(folder / 'evaluation')
  for name in ('metrics.jsonl', 'timing.jsonl'):
    (folder / name).write_text(''.join((folder / name).read_text().splitlines(keepends=True)[:4]))
  write_report(study)
  assert verify(study, capsys)[0] == 0
  for path, content in kept.items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  code, found, _ = verify(study, capsys)
  assert code == 2 and found['state'] == 'stale'
  assert f'stages/{folder.name}/metrics.jsonl' in places(found, 'stale')


def test_another_evaluation_is_stale_and_a_report_written_again_is_whole(study, capsys):
  name = f'stages/{named(study, "more").name}/evaluation/samples.json'
  edit(study / name, lambda found: found.update(identity={**found['identity'], 'seed': 7}, samples=[]))
  code, found, _ = verify(study, capsys)
  assert (code, found['state'], places(found, 'stale')) == (2, 'stale', [name])
  write_report(study)
  assert verify(study, capsys)[0] == 0


def test_a_former_report_is_verified_and_stale_once_its_study_has_another_arm(study, capsys):
  whole = json.loads((study / 'study.json').read_text())
  fewer = {**whole, 'recipes': {'plain': whole['recipes']['plain']}}
  (study / 'study.json').write_text(json.dumps(fewer))
  write_report(study)
  keep_former(study, whole)
  (study / 'study.json').write_text(json.dumps({**whole, 'name': 'another study'}))
  [former] = (study / 'former').iterdir()
  code, found, _ = verify(former, capsys)
  assert (code, found['state'], found['former']) == (0, 'as its units say', True)
  (study / 'study.json').write_text(json.dumps(whole))
  code, found, error = verify(former, capsys)
  assert (code, found['state']) == (2, 'stale') and 'more since' in error
  table = (former / 'results.csv').read_text()
  (former / 'results.csv').write_text(table.replace('0.', '1.', 1))
  assert verify(former, capsys)[1]['state'] == 'altered'


# What cannot be compared to the last digit.


def test_a_last_digit_of_another_processor_is_no_difference_of_a_file_that_is_as_written(study, capsys, monkeypatch):
  frame = frames.results_frame
  monkeypatch.setattr(frames, 'results_frame', lambda *given: frame(*given).assign(bits_per_byte=lambda table: table.bits_per_byte * (1 + 1e-14)))
  assert verify(study, capsys)[0] == 0
  monkeypatch.setattr(frames, 'results_frame', lambda *given: frame(*given).assign(bits_per_byte=lambda table: table.bits_per_byte * (1 + 1e-6)))
  code, _, error = verify(study, capsys)
  assert code == 2 and 'column bits_per_byte' in error and 'though the file is as it was written' in error


def test_pages_of_other_versions_are_compared_with_their_digests_alone(study, capsys, monkeypatch):
  record = json.loads((study / 'report.json').read_text())
  record['written_by']['jinja2'] = '1.0'
  record.pop('digest')
  from codemix.identity import digest

  (study / 'report.json').write_text(json.dumps({**record, 'digest': digest(record)}))
  render = html.render
  monkeypatch.setattr(html, 'render', lambda content: render(content).replace('Claims', 'Expectations').replace('How to read this', 'Reading'))
  code, found, _ = verify(study, capsys)
  assert code == 0 and found['other_versions'] == ['jinja2']
  (study / 'report.html').write_text((study / 'report.html').read_text() + ' ')
  assert verify(study, capsys)[0] == 2


def test_a_report_without_its_record_is_not_sealed(study, capsys):
  (study / 'report.json').unlink()
  code, found, error = verify(study, capsys)
  assert (code, found['state']) == (2, 'not sealed') and 'codemix report' in error
