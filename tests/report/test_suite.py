"""Benchmarks in a report: what is averaged, what is compared, and what is missing stays missing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import codemix
from codemix.errors import UserError
from codemix.evaluation.results import Results, read_results
from codemix.evaluation.tasks import registry
from codemix.report import judge_table, markdown, suite_tables
from codemix.report.content import Content, gather
from codemix.report.results import read_study
from codemix.report.table import Table
from codemix.report.write import write_report
from tests.report.fake_benchmarks import (
  GROUPS,
  TASKS,
  add_benchmarks,
  task_results,
  write_judge,
  write_task,
)
from tests.report.fake_study import edit, stage, stage_folders, write_fake_study
from tests.report.page import Page

TEXT = [stage('text', {'text': 1.0}, 8), stage('more', {'text': 1.0}, 8)]
CODE = [stage('mixed', {'text': 0.5, 'code': 0.5}, 8), stage('more', {'text': 1.0}, 8)]


@pytest.fixture(autouse=True, scope='module')
def groups():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(registry, 'GROUPS', GROUPS)
    yield


@pytest.fixture
def folder(tmp_path) -> Path:
  """Two recipes of two stages each, every stage scored on all tasks."""
  return add_benchmarks(write_fake_study(tmp_path / 's', {'text_only': TEXT, 'mixed': CODE}))


@pytest.fixture(scope='module')
def with_checkpoints(tmp_path_factory, groups) -> Path:
  """The same with two checkpoints before the end of each stage, and its report."""
  folder = write_fake_study(tmp_path_factory.mktemp('checkpoints') / 's', {'a': TEXT, 'b': CODE})
  write_report(add_benchmarks(folder, checkpoints=2))
  return folder


def content_of(folder: Path) -> Content:
  return gather(read_study(folder))


def test_a_study_of_one_recipe_has_scores_and_nothing_to_compare(tmp_path):
  content = content_of(add_benchmarks(write_fake_study(tmp_path / 's', {'only': CODE})))
  page = markdown.render(content)
  assert content.study.baseline is None and content.suite.aggregates
  assert 'benchmark' in page.lower() and 'change of' not in page.lower() and '| Change' not in page


def last_stage(folder: Path, recipe: str) -> Path:
  name = json.loads((folder / 'study.json').read_text())['recipes'][recipe]['stages'][-1]
  return folder / 'stages' / name


def stored(folder: Path, recipe: str, task: str):
  return read_results(last_stage(folder, recipe))[f'tasks/{task}']


def table_cells(table: Table, group: str, row: str) -> dict[str, str]:
  """The texts of a line by header, of the arm's last line that begins with `row`."""
  inside, found = False, None
  for line in table.lines:
    if line.kind == 'group':
      inside = line.cells[0].text == group
    elif inside and line.cells[0].text.startswith(row):
      found = {head.text: cell.text for head, cell in zip(table.header, line.cells, strict=True)}
  return found


def group_of(content: Content, label: str):
  return next(group for group in content.suite.groups if group.label == label)


# Scores and averages.


def test_a_table_shows_the_scores_and_their_macro_average(folder):
  content = content_of(folder)
  shown = table_cells(suite_tables.scores(content, group_of(content, 'NL reasoning')), 'mixed', '2 more')
  scores = {task: stored(folder, 'mixed', task).scores['score'] for task in ('boolq', 'piqa', 'arc_easy')}
  assert {task: shown[task] for task in scores} == {task: f'{100 * score:.1f}' for task, score in scores.items()}
  assert shown['Average'] == f'{100 * np.mean(list(scores.values())):.1f}'


def test_aggregates_weigh_tasks_within_a_category_and_categories_alike(folder):
  of = {task: stored(folder, 'mixed', task).scores['score'] for task in TASKS}
  reason, know, code = np.mean([of['boolq'], of['piqa'], of['arc_easy']]), of['triviaqa'], of['humaneval']
  expected = {'Reason.': reason, 'Know.': know, 'NL Avg': (reason + know) / 2, 'Code': code, 'Total': (reason + know + code) / 3}
  table = suite_tables.aggregates(content_of(folder))
  shown = table_cells(table, 'mixed', '2 more')
  assert {name: shown[name] for name in expected} == {name: f'{100 * value:.1f}' for name, value in expected.items()}
  assert [cell.notes for cell in table.header[1:]] == [['3 of 4 tasks'], ['1 of 1 tasks'], ['4 of 5 tasks'], ['1 of 1 tasks'], ['5 of 6 tasks']]


def test_chance_and_the_majority_answer_are_in_every_table_of_scores(folder):
  content = content_of(folder)
  tables = [suite_tables.aggregates(content), *(suite_tables.scores(content, group) for group in content.suite.groups)]
  for table in tables:
    assert {'Chance', 'Majority answer'} <= {line.cells[0].text for line in table.lines}
  chance = next(line for line in tables[1].lines if line.cells[0].text == 'Chance')
  assert [cell.text for cell in chance.cells[1:]] == ['50.0', '50.0', '25.0', f'{100 * (0.5 + 0.5 + 0.25) / 3:.1f}']
  assert {cell.text for cell in next(line for line in tables[2].lines if line.cells[0].text == 'Chance').cells[1:]} == {'–'}


def test_tasks_with_examples_are_in_tables_of_their_own_and_in_no_aggregate(folder):
  before = suite_tables.aggregates(content_of(folder))
  for place in stage_folders(folder):
    write_task(place, 'piqa-5shot', task_results('piqa', 0.9, 50, 2), 8, shots=5)
    write_task(place, 'mine', task_results('mine', 0.5, 20, 4), 8)
  content = content_of(folder)
  labels = [group.label for group in content.suite.groups]
  assert labels == ['NL reasoning', 'World knowledge', 'Code', 'Other benchmarks', 'NL reasoning, 5 shots']
  assert suite_tables.aggregates(content).lines == before.lines


# Changes.


def test_a_change_is_the_mean_difference_of_the_same_items_in_whatever_order(folder):
  own, base = stored(folder, 'mixed', 'piqa'), stored(folder, 'text_only', 'piqa')
  difference = own.items()['correct'].mean() - base.items()['correct'].mean()
  first = content_of(folder)
  order = np.random.default_rng(0).permutation(180)
  shuffled = {name: column[order] for name, column in own.items().items()}
  write_task(last_stage(folder, 'mixed'), 'piqa', Results(own.scores, shuffled), 16)
  second = content_of(folder)
  (a, b) = (suite_tables.score_changes(content, group_of(content, 'NL reasoning')) for content in (first, second))
  assert a == b
  assert table_cells(a, 'mixed', '2 more')['piqa'] == f'{100 * difference:+.1f}'.replace('-', '−').replace('+0.0', '0.0')


def test_a_paired_interval_is_narrower_than_two_separate_ones(folder):
  content = content_of(folder)
  benchmark = next(b for b in content.suite.benchmarks if b.name == 'arc_easy')
  row = content.rows_of(content.arms[1])[-1]
  change = benchmark.score.change(row.contrast)
  alone = [benchmark.score.mean([folder]) for folder in (*row.folders, *row.against)]
  assert change.high - change.low < np.hypot(*(figure.high - figure.low for figure in alone))


@pytest.mark.parametrize(('settings', 'why'), [({'prompts': 'other'}, "prompts: 'digest' expected, 'other' found"), ({}, 'other items')])
def test_scores_with_other_settings_or_items_are_shown_and_not_compared(folder, settings, why):
  items = task_results('piqa', 0.8, 180, 2)
  renamed = {**items.items, 'id': [f'x{name}' for name in items.items['id']]}
  write_task(last_stage(folder, 'mixed'), 'piqa', Results(items.scores, renamed), 16, **settings)
  content = content_of(folder)
  group = group_of(content, 'NL reasoning')
  shown = table_cells(suite_tables.scores(content, group), 'mixed', '2 more')
  assert shown['piqa'] == f'{100 * items.scores["score"]:.1f}' and shown['Average'] == '–'
  assert table_cells(suite_tables.score_changes(content, group), 'mixed', '2 more')['piqa'] == '–'
  assert [note for note in content.suite.notes if 'piqa' in note and why in note]
  assert why.split(':')[0] in markdown.render(content)


def test_two_items_of_one_id_are_an_error_that_names_the_file(folder):
  items = task_results('piqa', 0.8, 180, 2)
  write_task(last_stage(folder, 'mixed'), 'piqa', Results(items.scores, {**items.items, 'id': ['same'] * 180}), 16)
  with pytest.raises(UserError, match=r'piqa\.parquet has two items of the same id'):
    content_of(folder)


@pytest.mark.parametrize(('seeds', 'coloured'), [(1, False), (3, True)])
def test_a_change_is_called_an_effect_with_several_seeds_only(tmp_path, seeds, coloured):
  recipes = {f'{name}, seed {seed}': [stages[0]] for name, stages in (('base', TEXT), ('mixed', CODE)) for seed in range(seeds)}
  folder = write_fake_study(tmp_path / 's', recipes, seeds={name: int(name[-1]) for name in recipes})
  for number, place in enumerate(stage_folders(folder)):
    write_task(place, 'piqa', task_results('piqa', 0.9 if place.name.startswith('mixed') else 0.4, 200, 2, number), 8)
  content = content_of(folder)
  marks = {cell.mark for line in suite_tables.score_changes(content, content.suite.groups[0]).lines for cell in line.cells}
  assert marks == ({'', 'better'} if coloured else {''})


# What is not there.


def test_what_was_not_scored_is_unknown_and_never_zero(folder):
  (last_stage(folder, 'mixed') / 'evaluation' / 'tasks' / 'piqa.json').unlink()
  content = content_of(folder)
  group = group_of(content, 'NL reasoning')
  shown = table_cells(suite_tables.scores(content, group), 'mixed', '2 more')
  assert shown['piqa'] == shown['Average'] == '–' and shown['boolq'] != '–'
  assert table_cells(suite_tables.aggregates(content), 'mixed', '2 more')['Total'] == '–'
  assert table_cells(suite_tables.score_changes(content, group), 'mixed', '2 more')['piqa'] == '–'
  assert markdown.render(content)


def test_a_stage_is_evaluated_when_all_that_the_study_wants_is_there(folder):
  edit(folder / 'study.json', lambda study: study.update(evaluators=['held_out/text', 'tasks/piqa', 'tasks/copa', 'samples']))
  study = read_study(folder)
  assert {stage.state for stage in study.stages.values()} == {'trained'}
  lines = content_of(folder).missing
  assert len(lines) == len(study.stages) and all('lacks the results of tasks/copa' in line for line in lines)
  edit(folder / 'study.json', lambda study: study.update(evaluators=['held_out/text', 'tasks/piqa']))
  assert {stage.state for stage in read_study(folder).stages.values()} == {'evaluated'}


def test_results_without_items_have_a_score_and_no_interval(folder):
  for place in stage_folders(folder):
    (place / 'evaluation' / 'tasks' / 'piqa.parquet').unlink()
  content = content_of(folder)
  benchmark = next(b for b in content.suite.benchmarks if b.name == 'piqa')
  row = content.rows_of(content.arms[1])[-1]
  assert not benchmark.score.mean(row.folders).has_interval
  assert not benchmark.score.change(row.contrast).has_interval
  assert markdown.render(content)


def test_a_study_without_benchmarks_says_nothing_of_them(finished_study):
  assert 'id="benchmarks"' not in (finished_study / 'report.html').read_text()
  assert 'Benchmarks' not in (finished_study / 'report.md').read_text()


# Clean items.


def contamination(folder: Path, dirty: dict[str, float], name: str = 'piqa', ids: list[str] | None = None, sha: str = 'sha of piqa') -> None:
  """Writes a scan that found `dirty` items (share by id) in what `mixed` consumed."""
  stages = [place.name for place in stage_folders(folder)]
  ends = lambda share: {s: {'up to its end': {'(all sources)': share} if s == last_stage(folder, 'mixed').name else {}} for s in stages}
  result = {
    'format': 1, 'settings': {'clean': 0.2}, 'stages': [{'stage': s} for s in stages],
    'sets': [{'set': name, 'ids': ids or [f'piqa/{n}' for n in range(180)], 'digest': {'/data/piqa.jsonl': sha}}],
    'items': [{'set': name, 'id': id, 'stages': ends(share)} for id, share in dirty.items()],
  }  # fmt: skip
  (folder / 'contamination.json').write_text(json.dumps(result))


@pytest.mark.parametrize('name', ['piqa', 'a set of any name'])
def test_scores_on_clean_items_leave_out_what_the_stage_consumed(folder, name):
  contamination(folder, {'piqa/3': 0.9, 'piqa/7': 0.2, 'piqa/8': 0.1}, name)
  content = content_of(folder)
  own = stored(folder, 'mixed', 'piqa').items()
  keep = ~np.isin(own['id'].astype(str), ['piqa/3', 'piqa/7'])
  found = content.clean[last_stage(folder, 'mixed').name]['piqa']
  assert found['score'] == own['correct'][keep].mean() and (found['items'], found['left_out']) == (178, 2)
  assert found['gold_bits_per_byte'] == pytest.approx(own['gold_nats'][keep].sum() / np.log(2) / own['gold_bytes'][keep].sum())
  assert content.clean[last_stage(folder, 'text_only').name]['piqa']['left_out'] == 0
  assert '178 of 180' in markdown.render(content)


@pytest.mark.parametrize(
  ('settings', 'why'), [({'ids': ['0', '1']}, "has no item 'piqa/0' of the task piqa"), ({'sha': 'another'}, 'was read from other files')]
)
def test_a_scan_of_other_items_gives_no_clean_scores_and_says_why(folder, settings, why):
  contamination(folder, {}, **settings)
  content = content_of(folder)
  assert content.clean == {} and any(why in note for note in content.suite.notes)


# Frames, curves, judges.


def test_scores_csv_has_each_score_of_each_checkpoint_once(with_checkpoints):
  folder = with_checkpoints
  table = pd.read_csv(folder / 'scores.csv')
  assert table.equals(codemix.load_scores(folder).astype(table.dtypes))
  key = ['arm', 'seed', 'position', 'stage', 'step', 'task', 'score']
  assert not table.duplicated(key).any()
  assert set(table.task) == {*TASKS, 'held_out/text', 'held_out/code'}
  ends = table[table.at_end & (table.task == 'piqa') & (table.score == 'score')].set_index(['arm', 'position']).value
  assert ends['b', 2] == stored(folder, 'b', 'piqa').scores['score']
  assert table[table.arm == 'a'].step.nunique() == 2 * 3


def test_learning_curves_hold_every_checkpoint_of_every_run(with_checkpoints):
  folder = with_checkpoints
  page = Page((folder / 'report.html').read_text())
  told = [label for label in page.values('aria-label') if ' by step: ' in label]
  piqa = next(label for label in told if label.startswith('Score on piqa by step'))
  table = codemix.load_scores(folder)
  value = table[(table.arm == 'b') & table.at_end & (table.position == 2) & (table.task == 'piqa') & (table.score == 'score')].value.item()
  assert f'{100 * value:.1f}% at step 16' in piqa and 'chance is 50.0%' in piqa
  assert any(label.startswith('Bits per byte on text by step') for label in told)
  names = [name for name in page.values('download') if 'learning' in name]
  assert len(names) == 3 * len(told) == 3 * (2 + 5 + len(TASKS))


def test_judges_have_a_table_and_what_they_lack_is_unknown(folder):
  place = last_stage(folder, 'mixed')
  write_judge(place, win=0.4, loss=0.3, tie=0.3, win_rate=0.55, win_rate_low=0.5, win_rate_high=0.6, prompts=20, judged=18, unparsed=3, not_asked=0)
  (line,) = [line for line in judge_table.judged(content_of(folder)).lines if line.kind != 'group']
  assert [cell.text for cell in line.cells] == ['more', '40.0%', '30.0%', '30.0%', '55.0%', '–', '18 of 20']
  assert line.cells[6].notes == ['3 not parsed']
  assert line.cells[4].notes == ['50.0 … 60.0']
  assert 'Judged pairs' in markdown.render(content_of(folder))


def test_the_page_has_every_score_and_its_colours_on_a_dark_screen(folder):
  text = write_report(folder).read_text()
  words = ' '.join(Page(text).words)
  for place in stage_folders(folder):
    for task in TASKS:
      assert f'{100 * read_results(place)[f"tasks/{task}"].scores["score"]:.1f}' in words
  style, body = text.split('</style>', 1)
  for colour in set(re.findall(r'((?:stroke|fill): #[0-9a-f]{6})', body)):
    assert f"[style*='{colour}']" in style.split('prefers-color-scheme: dark')[1]
  assert '## Benchmarks' in (folder / 'report.md').read_text()
