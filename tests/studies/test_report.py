"""What must hold of the report of a study, whole or half done."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.studies import accounts, figures, formatting, palette, report_content, report_markdown
from codemix.studies.report import write_report
from codemix.studies.results import read_study
from tests.studies.fake_study import SOURCES, FakeStage, study_recipes, write_fake_study

STAGE_FILES = (
  'stage.json', 'plan.json', 'rate.csv', 'metrics.jsonl', 'timing.jsonl', 'ledger.json',
  'evaluation.json', 'evaluation', 'samples.json',
)  # fmt: skip


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> Path:
  """A finished study with its report. Not to be changed: copy it with `changed`."""
  folder = write_fake_study(tmp_path_factory.mktemp('finished') / 'study')
  write_report(folder)
  return folder


@pytest.fixture
def changed(finished, tmp_path) -> Path:
  """A copy of the finished study to damage."""
  return Path(shutil.copytree(finished, tmp_path / 'study'))


@pytest.fixture
def small(tmp_path) -> Path:
  """A finished study of two recipes and three stages, without a report, to damage."""
  recipes = study_recipes(steps=12)
  chosen = {name: recipes[name][:2] for name in ('balanced-only', 'balanced-to-text')}
  return write_fake_study(tmp_path / 'small', chosen)


def stage_folders(study: Path) -> list[Path]:
  return sorted((study / 'stages').iterdir())


def named(study: Path, name: str) -> Path:
  return next(folder for folder in stage_folders(study) if folder.name.startswith(name))


def edit(path: Path, change) -> None:
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))


class Page(html.parser.HTMLParser):
  """Collects tags, attributes and text, and fails on tags that do not nest."""

  VOID = {'meta', 'br', 'link', 'img', 'hr', 'input'}

  def __init__(self, text: str):
    super().__init__()
    self.open, self.attributes, self.tags, self.words = [], [], [], []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  def values(self, name: str) -> list[str]:
    return [value for key, value in self.attributes if key == name]


@pytest.fixture(scope='module')
def page(finished) -> Page:
  return Page((finished / 'report.html').read_text())


# The page.


def test_the_page_needs_nothing_but_itself(finished, page):
  text = (finished / 'report.html').read_text()
  assert not {'script', 'link', 'img', 'iframe', 'object', 'embed'} & set(page.tags)
  assert all(link.startswith('#') for link in page.values('href') + page.values('xlink:href'))
  assert '@import' not in text and not re.search(r'url\((?!#)', text)
  assert not re.search(r'(?:src|srcset|action)=', text)


def test_ids_are_unique_and_every_reference_has_its_target(finished, page):
  ids = page.values('id')
  assert len(ids) == len(set(ids))
  text = (finished / 'report.html').read_text()
  references = [link[1:] for link in page.values('href')] + re.findall(r'url\(#([^)]+)\)', text)
  assert references and set(references) <= set(ids)


def test_every_picture_says_what_it_shows(page):
  svgs = page.tags.count('svg')
  assert len(page.values('aria-label')) > 10
  hidden = page.values('aria-hidden').count('true')
  assert page.values('role').count('img') + hidden >= svgs


def test_every_colour_of_a_picture_follows_the_page(finished):
  body = (finished / 'report.html').read_text().split('</style>')[1]
  assert not re.findall(r'(?:stroke|fill|background): ?(#[0-9a-f]{6})', body)
  style = (finished / 'report.html').read_text().split('</style>')[0]
  for name in set(re.findall(r'var\(--([\w-]+)\)', body)):
    assert f'--{name}:' in style


def test_the_page_shows_each_figure_of_each_stage(finished, page):
  words = ' '.join(page.words)
  for folder in stage_folders(finished):
    for score in json.loads((folder / 'evaluation.json').read_text())['sources'].values():
      assert f'{score["bits_per_byte"]:.3f}' in words


@pytest.mark.parametrize('hostile', ['<script>alert(1)</script>', '"><b>&amp;', '{{ 7 * 7 }}', '```\n# x'])
def test_no_text_of_the_study_becomes_markup(small, hostile):
  edit(small / 'study.json', lambda study: study.update(name=hostile, note=hostile))
  edit(small / 'study.json', lambda s: s['recipes']['balanced-only'].update(description=hostile))
  for folder in stage_folders(small):
    edit(folder / 'samples.json', lambda samples: samples[0].update(text=hostile, prompt=hostile))
  shown = Page(write_report(small).read_text())
  assert hostile in shown.words
  assert 'script' not in shown.tags
  short = (small / 'report.md').read_text()
  title = short.splitlines()[0]
  assert title.startswith('# ') and '<' not in title.replace(r'\<', '')
  if '`' in hostile:
    assert f'````text\n{hostile}{hostile}\n````' in short


def test_the_same_folder_gives_the_same_bytes(finished, tmp_path):
  copy = Path(shutil.copytree(finished, tmp_path / 'study'))
  write_report(copy)
  for name in ('report.html', 'report.md', 'results.csv'):
    assert (copy / name).read_bytes() == (finished / name).read_bytes()


def test_nothing_but_the_three_files_is_written(finished):
  assert {path.name for path in finished.iterdir()} == {
    'study.json', 'stages', 'report.html', 'report.md', 'results.csv',
  }  # fmt: skip


def test_a_large_study_still_makes_a_page_of_less_than_two_megabytes(tmp_path):
  even = dict.fromkeys(SOURCES, 1 / len(SOURCES))
  recipes = {
    f'recipe number {n}': [
      FakeStage('one', even, 700, peak=1e-3 / (n + 1)), FakeStage('two', even, 700), FakeStage('three', even, 100),
    ]
    for n in range(12)
  }  # fmt: skip
  study = write_fake_study(tmp_path / 'study', recipes, sources=list(SOURCES))
  page = write_report(study)
  assert page.stat().st_size < 2_000_000
  words = Page(page.read_text()).words
  assert all(words.count(name) >= 5 for name in recipes)


def test_drawing_leaves_matplotlib_as_it_was(small):
  import matplotlib

  before = dict(matplotlib.rcParams)
  write_report(small)
  assert dict(matplotlib.rcParams) == before


def test_importing_the_report_loads_no_heavy_package():
  heavy = ('jax', 'tensorflow', 'seqio', 'matplotlib', 'pandas', 'jinja2')
  check = f'import sys, codemix.studies.report; sys.exit(str([m for m in {heavy} if m in sys.modules]))'
  found = subprocess.run([sys.executable, '-c', check], capture_output=True, text=True)
  assert found.stderr.strip() == '[]'


# The numbers.


def test_the_csv_has_one_row_per_recipe_stage_and_source(finished):
  table = pd.read_csv(finished / 'results.csv')
  keys = ['recipe', 'position', 'source']
  assert not table.duplicated(keys).any()
  assert len(table) == 4 * 3 * 2
  for row in table.itertuples():
    score = json.loads((finished / 'stages' / row.folder / 'evaluation.json').read_text())['sources'][row.source]
    assert row.bits_per_byte == pytest.approx(score['bits_per_byte'], rel=1e-9)
    assert row.bits_per_byte_low < row.bits_per_byte < row.bits_per_byte_high


def test_changes_are_those_of_the_statistics_on_the_same_documents(finished):
  table = pd.read_csv(finished / 'results.csv').set_index(['recipe', 'position', 'source'])
  row = table.loc['code-to-text', 3, 'code']
  own, base = (
    np.load(finished / 'stages' / folder / 'evaluation' / 'code.npz')
    for folder in (row.folder, row.compared_with)
  )
  expected = statistics.relative_change(own['nats'], own['bytes'], base['nats'], base['bytes'])
  np.testing.assert_allclose(
    [row.change, row.change_low, row.change_high], [expected.value, expected.low, expected.high]
  )


def test_the_baseline_does_not_differ_from_itself(finished):
  table = pd.read_csv(finished / 'results.csv')
  base = table[table.recipe == 'text-only']
  assert (base[['change', 'change_low', 'change_high']] == 0).all().all()


def test_recipes_that_share_a_stage_have_one_figure_after_it(finished):
  table = pd.read_csv(finished / 'results.csv').set_index(['recipe', 'position', 'source']).sort_index()
  columns = ['folder', 'bits_per_byte', 'bits_per_byte_low', 'change', 'change_high']
  pd.testing.assert_frame_equal(
    table.loc['balanced-only', 1][columns], table.loc['balanced-to-text', 1][columns]
  )


def test_code_so_far_is_the_token_weighted_mean_of_the_stages(finished):
  frame = accounts.recipes_frame(read_study(finished)).set_index(['recipe', 'position'])
  assert frame.code_share_so_far['balanced-to-text', 1] == pytest.approx(0.5)
  assert frame.code_share_so_far['balanced-to-text', 2] == pytest.approx((0.5 + 0.1) / 2)
  for _, stages in frame.groupby('recipe'):
    assert (stages.tokens_so_far == stages.tokens.cumsum()).all()


def test_shares_of_a_stage_sum_to_one_on_both_sides(finished):
  sums = accounts.accounts_frame(read_study(finished)).groupby('folder')[
    ['share', 'planned_share', 'realised_share']
  ].sum()
  np.testing.assert_allclose(sums, 1)


def test_sources_in_a_group_of_code_are_code_whatever_the_stage_is_called(tmp_path):
  study = write_fake_study(tmp_path / 's', {'a': [FakeStage('code', {'text': 0.5, 'books': 0.5}, 4)]})
  folder = stage_folders(study)[0]
  assert {read_study(study).kind(name) for name in ('text', 'books')} == {'text'}
  group = {'name': 'code', 'weight': '1/2', 'parts': [{'name': 'books', 'weight': '1'}]}
  edit(folder / 'plan.json', lambda plan: plan['mixture'].update(parts=[{'name': 'text', 'weight': '1/2'}, group]))
  assert [read_study(study).kind(name) for name in ('text', 'books')] == ['text', 'code']


def test_a_stage_is_compared_with_the_baseline_after_as_many_tokens(tmp_path):
  base = [FakeStage('half', {'text': 1.0}, 10), FakeStage('whole', {'text': 1.0}, 10)]
  recipes = {
    'base': base,
    'short': [FakeStage('code', {'code': 1.0}, 10)],
    'odd': [FakeStage('odd', {'code': 1.0}, 14), FakeStage('end', {'text': 1.0}, 16)],
  }
  study = read_study(write_fake_study(tmp_path / 's', recipes))
  content = report_content.gather(study, resamples=50)
  against = {(row.recipe, row.position): row.against for row in content.rows}
  assert against['short', 1] == study.recipes['base'].stages[0]
  assert against['odd', 1] is None
  assert against['odd', 2] == study.recipes['base'].stages[1]
  assert any('odd ends after' in note and 'budget' in note for note in content.notes)
  assert not any('short ends after' in note for note in content.notes)


def test_text_and_code_pooled_are_all_documents_of_their_sources(tmp_path):
  recipe = {'a': [FakeStage('s', {'text': 1.0}, 4)]}
  folder = write_fake_study(tmp_path / 's', recipe, sources=('text', 'books', 'code'))
  content = report_content.gather(read_study(folder), resamples=50)
  scores = json.loads((stage_folders(folder)[0] / 'evaluation.json').read_text())['sources']
  expected = statistics.bits_per_byte(
    np.array([scores[name]['nats'] for name in ('text', 'books')]),
    np.array([scores[name]['bytes'] for name in ('text', 'books')]),
  )
  (pooled,) = content.measures['all text'].bits.values()
  assert pooled.value == pytest.approx(expected)
  assert content.measures['all code'] is content.measures['code']


def test_the_tree_holds_each_stage_once_and_an_end_for_each_recipe(finished):
  study = read_study(finished)
  nodes = report_content.flat(report_content.gather(study, resamples=10).tree)
  assert sorted(node.stage.folder for node in nodes) == sorted(study.stages)
  assert sorted(name for node in nodes for name in node.ends) == sorted(study.recipes)
  assert {node.chain for node in nodes} == {'start', 'linked'}


def test_a_ledger_that_does_not_follow_its_parent_is_said(changed):
  edit(named(changed, 'more_text') / 'ledger.json', lambda ledger: ledger.update(parent_hash='other'))
  study = read_study(changed)
  chains = [node.chain for node in report_content.flat(report_content.gather(study, resamples=10).tree)]
  # The stage itself; its child follows the hash that it has.
  assert chains.count('broken') == 1


def test_tokens_realised_other_than_planned_are_said(changed):
  folder = named(changed, 'more_balanced')
  edit(folder / 'ledger.json', lambda ledger: ledger['realised'][0].update(loss_tokens=1))
  content = report_content.gather(read_study(changed), resamples=10)
  verdicts = {f: report_content.verdict(content, stage) for f, stage in content.study.stages.items()}
  assert verdicts.pop(folder.name) == 'NO'
  assert set(verdicts.values()) == {'yes'}


def test_a_small_model_or_run_is_said_to_show_the_machinery_only(small, finished):
  def caveat() -> str:
    return report_content.gather(read_study(small), resamples=10).caveat[0]

  assert 'This shows the machinery' in (finished / 'report.html').read_text().split('<main>')[0]
  assert 'machinery' in caveat()
  edit(small / 'study.json', lambda study: study['model'].update(parameters=470_000_000))
  assert 'machinery' in caveat()
  for folder in stage_folders(small):
    edit(folder / 'plan.json', lambda plan: [s.update(loss_tokens=10**12) for s in plan['sources']])
    (folder / 'ledger.json').unlink()
  assert caveat() == 'One training run stands behind each recipe.'


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
def test_a_page_is_made_without_any_one_kind_of_file(small, name):
  for folder in stage_folders(small):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  Page(write_report(small).read_text())


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(st.integers(0, 10), st.sampled_from(STAGE_FILES)), max_size=40))
def test_whatever_files_are_missing_the_rest_is_reported(finished, tmp_path, gone):
  copy = Path(shutil.copytree(finished, tmp_path / 'study'))
  try:
    folders = stage_folders(copy)
    for index, name in gone:
      path = folders[index] / name
      shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    content = report_content.gather(read_study(copy), resamples=20)
    report_markdown.render(content)
    unfinished = {stage.folder for stage in content.study.stages.values() if stage.state != 'evaluated'}
    assert {line.split()[0] for line in content.missing} >= unfinished
    assert len(content.results) >= len(content.rows)
  finally:
    shutil.rmtree(copy)


def test_a_stage_in_training_is_reported_as_far_as_it_got(changed):
  folder = named(changed, 'more_text')
  for name in ('ledger.json', 'evaluation.json', 'samples.json'):
    (folder / name).unlink()
  lines = (folder / 'metrics.jsonl').read_text().splitlines(keepends=True)
  (folder / 'metrics.jsonl').write_text(''.join(lines[:7]) + lines[7][:9])
  content = report_content.gather(read_study(changed), resamples=20)
  assert f'{folder.name} has trained 7 of 40 steps (text-only).' in content.missing


def test_scores_without_their_documents_have_values_and_no_interval(changed):
  folder = named(changed, 'more_text')
  shutil.rmtree(folder / 'evaluation')
  content = report_content.gather(read_study(changed), resamples=20)
  (row,) = (row for row in content.rows if row.stage.folder == folder.name)
  assert row.bits['text'].value > 0 and not row.bits['text'].has_interval
  assert any('no intervals' in line for line in content.missing)


def test_few_documents_are_said(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'a': [FakeStage('s', {'text': 1.0}, 4)]}, documents=12)
  assert 'text (12), code (12)' in report_content.gather(read_study(folder), resamples=20).notes[0]


# What is refused.


def test_a_folder_that_is_no_study_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'no study: it has no study\.json'):
    write_report(tmp_path)
  (tmp_path / 'study.json').write_text('{"recipes": {"a": {}}}')
  with pytest.raises(UserError, match='names no recipes'):
    write_report(tmp_path)


def test_an_unknown_baseline_is_refused_with_the_nearest_name(changed):
  edit(changed / 'study.json', lambda study: study.update(baseline='text-onyl'))
  with pytest.raises(UserError, match="Did you mean 'text-only'"):
    write_report(changed)


@pytest.mark.parametrize('name', ['plan.json', 'ledger.json', 'evaluation.json', 'samples.json', 'metrics.jsonl'])
def test_a_damaged_file_is_refused_by_name(changed, name):
  path = named(changed, 'more_text') / name
  path.write_text('{"a": \n')
  with pytest.raises(UserError, match=re.escape(str(path))) as caught:
    write_report(changed)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('damage', [b'', b'PK\x03\x04 nonsense'])
def test_damaged_document_scores_are_refused(changed, damage):
  path = named(changed, 'more_text') / 'evaluation' / 'code.npz'
  path.write_bytes(damage)
  with pytest.raises(UserError, match=r'code\.npz is damaged'):
    write_report(changed)


def test_documents_of_another_evaluation_than_the_scores_are_refused(changed):
  path = named(changed, 'more_text') / 'evaluation.json'
  edit(path, lambda evaluation: evaluation['sources']['text'].update(nats=1.0))
  with pytest.raises(UserError, match='evaluate the stage again'):
    write_report(changed)


def test_stages_evaluated_on_different_documents_are_not_compared(changed):
  folder = named(changed, 'more_text')
  path = folder / 'evaluation' / 'text.npz'
  arrays = dict(np.load(path))
  arrays['bytes'] = arrays['bytes'][::-1]
  np.savez(path, **arrays)
  with pytest.raises(UserError, match=rf"{folder.name}, source 'text': document 0 has"):
    write_report(changed)


# The parts.


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_labels_are_spread_in_order_and_apart(wanted):
  gap = min(0.05, 1 / len(wanted))
  placed = figures._spread(wanted, gap)
  order = sorted(range(len(wanted)), key=lambda index: wanted[index])
  heights = [placed[index] for index in order]
  assert all(b - a >= gap - 1e-9 for a, b in zip(heights, heights[1:], strict=False))
  assert heights[0] >= -1e-9 and heights[-1] <= 1 + 1e-9


def test_no_two_names_share_a_colour():
  light = [paint.light for paint in palette.all_paints()] + list(palette.FURNITURE.values())
  assert len(light) == len(set(light))


def test_more_recipes_than_colours_differ_by_their_dashes():
  paints = palette.recipe_paints([f'r{n}' for n in range(33)], 'r4')
  assert list(paints) == [f'r{n}' for n in range(33)]
  assert len({(paint.variable, paint.dash) for paint in paints.values()}) == 33


@pytest.mark.parametrize(
  ('count', 'text'),
  [(0, '0'), (999, '999'), (999.6, '1.00k'), (8_421_376, '8.42M'), (999_960, '1.00M'), (9_996, '10.0k'),
   (440e9, '440B'), (float('nan'), '–'), (None, '–')],
)  # fmt: skip
def test_tokens_have_a_unit(count, text):
  assert formatting.tokens(count) == text


@given(st.floats(-2, 2))
def test_a_change_that_rounds_to_zero_has_no_sign(value):
  text = formatting.signed_percent(value)
  assert text[0] in '+\u2212' or text == '0.0%'
  assert float(text.rstrip('%').replace('\u2212', '-')) == pytest.approx(100 * value, abs=0.051)


def test_study_recipes_is_the_study_in_its_ratios():
  recipes = study_recipes(steps=100)
  assert {sum(stage.steps for stage in stages) for stages in recipes.values()} == {220}
