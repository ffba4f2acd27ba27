"""Studies that are half done are reported as far as they go; damaged ones are refused by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import codemix
from codemix.errors import UserError
from codemix.evaluation.results import Results, write_results
from codemix.report import frames, markdown
from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.report.write import write_report
from tests.report.fake_study import (
  edit,
  items_of,
  named,
  scores_of,
  stage,
  stage_folders,
  write_fake_study,
)
from tests.report.page import Page

STAGE_FILES = (
  'stage.json', 'plan.json', 'rate.csv', 'metrics.jsonl', 'timing.jsonl', 'ledger.json',
  'evaluation', 'evaluation/samples.json', 'evaluation/held_out', 'evaluation/held_out/code.parquet',
)  # fmt: skip


# Studies that are not complete.


def test_a_study_that_is_only_planned_has_a_report_of_its_plan(tmp_path):
  folder = write_fake_study(tmp_path / 's', evaluated=False)
  page = Page(write_report(folder).read_text())
  lines = [line for line in page.words if 'planned but not trained' in line]
  assert len(lines) == len(stage_folders(folder))
  assert 'No stage has been evaluated yet.' in page.words
  assert len(pd.read_csv(folder / 'results.csv')) == 4 * 3 * 2


def test_a_study_of_which_no_stage_has_begun_has_a_report(tmp_path):
  folder = write_fake_study(tmp_path / 's', evaluated=False)
  shutil.rmtree(folder / 'stages')
  words = ' '.join(Page(write_report(folder).read_text()).words)
  assert words.count('is not started') == 11


@pytest.mark.parametrize('name', STAGE_FILES)
def test_a_page_is_made_without_any_one_kind_of_file(small_study, name):
  for folder in stage_folders(small_study):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  Page(write_report(small_study).read_text())


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(st.integers(0, 10), st.sampled_from(STAGE_FILES)), max_size=40))
def test_whatever_files_are_missing_the_rest_is_reported(finished_study, tmp_path, gone):
  copy = Path(shutil.copytree(finished_study, tmp_path / 'study'))
  try:
    folders = stage_folders(copy)
    for index, name in gone:
      path = folders[index] / name
      shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    content = gather(read_study(copy))
    markdown.render(content)
    unfinished = {stage.folder for stage in content.study.stages.values() if stage.state != 'evaluated'}
    assert {line.split()[0] for line in content.missing} >= unfinished
    assert len(frames.results_frame(content.study, content.rows)) >= len(content.rows)
  finally:
    shutil.rmtree(copy)


def test_a_stage_in_training_is_reported_as_far_as_it_got(changed_study):
  folder = named(changed_study, 'more_text')
  (folder / 'ledger.json').unlink()
  shutil.rmtree(folder / 'evaluation')
  lines = (folder / 'metrics.jsonl').read_text().splitlines(keepends=True)
  (folder / 'metrics.jsonl').write_text(''.join(lines[:7]) + lines[7][:9])
  content = gather(read_study(changed_study))
  assert f'{folder.name} has trained 7 of 40 steps (text-only).' in content.missing


def test_scores_without_their_documents_have_values_and_no_interval(changed_study):
  folder = named(changed_study, 'more_text')
  for path in (folder / 'evaluation' / 'held_out').glob('*.parquet'):
    path.unlink()
  content = gather(read_study(changed_study))
  (row,) = (row for row in content.rows if row.stage.folder == folder.name)
  assert row.bits['text'].value > 0 and not row.bits['text'].has_interval
  assert any('no intervals' in line for line in content.missing)


def test_few_documents_are_reported(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'a': [stage('s', {'text': 1.0}, 4)]}, documents=12)
  notes = gather(read_study(folder)).notes
  assert re.search(r'text: \d+ of 12; code: \d+ of 12', notes[0])


def test_a_source_of_one_document_has_figures_no_interval_and_a_word(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'a': [stage('s', {'text': 1.0}, 4)]}, documents=1)
  content = gather(read_study(folder))
  assert not content.rows[0].bits['text'].has_interval
  assert any('A single validation document of text, code' in note for note in content.notes)


# What is refused.


def test_a_folder_that_is_not_a_study_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'not the folder of a study: it has no study\.json'):
    write_report(tmp_path)
  for record in ('{}', '{"recipes": {"a": {}}}', '{"recipes": {"a": {"stages": []}}}'):
    (tmp_path / 'study.json').write_text(record)
    with pytest.raises(UserError, match='names no recipes'):
      write_report(tmp_path)


def test_an_unknown_baseline_is_refused_with_the_nearest_name(changed_study):
  edit(changed_study / 'study.json', lambda study: study.update(baseline='text-onyl'))
  with pytest.raises(UserError, match="Did you mean 'text-only'"):
    write_report(changed_study)


@pytest.mark.parametrize('name', ['plan.json', 'ledger.json', 'evaluation/held_out/text.json', 'metrics.jsonl'])
def test_a_damaged_file_is_refused_by_name(changed_study, name):
  path = named(changed_study, 'more_text') / name
  path.write_text('{"a": \n')
  with pytest.raises(UserError, match=re.escape(str(path))) as caught:
    write_report(changed_study)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('damage', [b'', b'PK\x03\x04 nonsense'])
def test_damaged_document_scores_are_refused(changed_study, damage):
  path = named(changed_study, 'more_text') / 'evaluation' / 'held_out' / 'code.parquet'
  path.write_bytes(damage)
  with pytest.raises(UserError, match=r'code\.parquet is damaged'):
    write_report(changed_study)


def test_stages_evaluated_on_different_documents_are_not_compared(changed_study):
  folder = named(changed_study, 'more_text')
  arrays = items_of(changed_study, folder.name, 'text')
  arrays['bytes'] = arrays['bytes'][::-1]
  write_results(folder, 'held_out/text', 80, {}, Results(scores_of(changed_study, folder.name, 'text'), arrays))
  with pytest.raises(UserError, match=rf"{folder.name}, source 'text': document 0 has"):
    write_report(changed_study)


def test_an_arm_that_was_never_evaluated_is_missing_and_the_rest_is_whole(tmp_path):
  mixtures = {'base': {'text': 1.0}, 'half': {'text': 0.5, 'code': 0.5}, 'late': {'code': 1.0}}
  recipes = {f'{name} seed {seed}': [stage(name, mixture, 8)] for name, mixture in mixtures.items() for seed in (0, 1)}
  folder = write_fake_study(tmp_path / 's', recipes, seeds={name: int(name[-1]) for name in recipes})
  for gone in (path for path in stage_folders(folder) if path.name.startswith('late')):
    shutil.rmtree(gone / 'evaluation')
  words = Page(write_report(folder, files=True, equal_points=1, equal_percent=1).read_text()).words
  assert 'not evaluated yet' in words and sum('trained but not evaluated' in line for line in words) == 2
  frames = codemix.results(folder)
  assert set(frames.changes.arm) == {'half'} and set(frames.stages.arm) == {'base', 'half', 'late'}
  assert 'late' in (folder / 'report_files' / 'tables' / 'summary.tex').read_text()


def test_a_single_recipe_has_files_and_frames_without_changes(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'alone': [stage('pre', {'text': 1.0}, 8)]})
  write_report(folder, files=True)
  assert codemix.results(folder).changes.empty and not (folder / 'report_files' / 'tables' / 'changes.tex').exists()
