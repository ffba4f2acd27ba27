"""What must hold of the pages of a report: they stand alone, say what they show, and run nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codemix.studies.report import write_report
from tests.studies.fake_study import SOURCES, FakeStage, edit, stage_folders, write_fake_study
from tests.studies.page import Page


@pytest.fixture(scope='module')
def page(finished_study) -> Page:
  return Page((finished_study / 'report.html').read_text())


# The page.


def test_the_page_needs_nothing_but_itself(finished_study, page):
  text = (finished_study / 'report.html').read_text()
  assert not {'script', 'link', 'img', 'iframe', 'object', 'embed'} & set(page.tags)
  links = page.values('href') + page.values('xlink:href')
  assert all(link.startswith(('#', 'data:')) for link in links)
  assert len(page.values('download')) == sum(link.startswith('data:') for link in links)
  assert '@import' not in text and not re.search(r'url\((?!#|%23)', text)
  assert not re.search(r'(?:src|srcset|action)=', text)


def test_ids_are_unique_and_every_reference_has_its_target(finished_study, page):
  ids = page.values('id')
  assert len(ids) == len(set(ids))
  text = (finished_study / 'report.html').read_text()
  references = [link[1:] for link in page.values('href') if link.startswith('#')] + re.findall(r'url\(#([^)]+)\)', text)
  assert references and set(references) <= set(ids)


def test_every_picture_says_what_it_shows(page):
  svgs = page.tags.count('svg')
  assert len(page.values('aria-label')) > 10
  hidden = page.values('aria-hidden').count('true')
  assert page.values('role').count('img') + hidden >= svgs


def test_every_colour_of_a_picture_follows_the_page(finished_study):
  body = (finished_study / 'report.html').read_text().split('</style>')[1]
  assert not re.findall(r'(?:stroke|fill|background): ?(#[0-9a-f]{6})', body)
  style = (finished_study / 'report.html').read_text().split('</style>')[0]
  for name in set(re.findall(r'var\(--([\w-]+)\)', body)):
    assert f'--{name}:' in style


def test_the_page_shows_each_figure_of_each_stage(finished_study, page):
  words = ' '.join(page.words)
  for folder in stage_folders(finished_study):
    for score in json.loads((folder / 'evaluation.json').read_text())['sources'].values():
      assert f'{score["bits_per_byte"]:.3f}' in words


def test_both_reports_show_where_the_time_went(small_study):
  # Of an interrupted stage: 6 s of steps that count, 2 that were lost, and 4 of other things.
  lines = [
    {'from': 0, 'step': 4, 'seconds': {'compile': 3, 'step': 2}},
    {'from': 0, 'step': 12, 'seconds': {'step': 6}},
    {'seconds': {'evaluation': 1}},
  ]
  for folder in stage_folders(small_study):
    (folder / 'time.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  write_report(small_study)
  cost = Page((small_study / 'report.html').read_text()).words
  stages = len(stage_folders(small_study))
  assert cost.count('50%') == stages + 1  # and the sum
  assert f'{12 * stages} s' in cost
  assert 'goodput 50.0%' in (small_study / 'report.md').read_text()


def test_a_study_without_account_of_its_time_has_a_report(small_study):
  for folder in stage_folders(small_study):
    (folder / 'time.jsonl').unlink()
  write_report(small_study)
  assert 'Where the time went' not in (small_study / 'report.md').read_text()


@pytest.mark.parametrize('hostile', ['<script>alert(1)</script>', '"><b>&amp;', '{{ 7 * 7 }}', '```\n# x'])
def test_no_text_of_the_study_becomes_markup(small_study, hostile):
  edit(small_study / 'study.json', lambda study: study.update(name=hostile, note=hostile))
  edit(small_study / 'study.json', lambda s: s['recipes']['balanced-only'].update(description=hostile))
  edit(small_study / 'study.json', lambda s: s['recipes'].update({hostile: {**s['recipes']['balanced-to-text'], 'arm': 'another'}}))
  for folder in stage_folders(small_study):
    edit(folder / 'samples.json', lambda samples: samples[0].update(text=hostile, prompt=hostile))
  shown = Page(write_report(small_study).read_text())
  assert hostile in shown.words
  assert any(hostile in label for label in shown.values('aria-label'))
  assert 'script' not in shown.tags
  short = (small_study / 'report.md').read_text()
  title = short.splitlines()[0]
  assert title.startswith('# ') and '<' not in title.replace(r'\<', '')
  if '`' in hostile:
    assert f'````text\n{hostile}{hostile}\n````' in short


def test_the_same_folder_gives_the_same_bytes(finished_study, tmp_path):
  copy = Path(shutil.copytree(finished_study, tmp_path / 'study'))
  write_report(copy)
  for name in ('report.html', 'report.md', 'results.csv'):
    assert (copy / name).read_bytes() == (finished_study / name).read_bytes()


def test_nothing_but_the_three_files_is_written(finished_study):
  assert {path.name for path in finished_study.iterdir()} == {
    'study.json', 'stages', 'report.html', 'report.md', 'results.csv',
  }  # fmt: skip


def test_a_large_study_still_makes_a_page_of_a_few_megabytes(tmp_path):
  even = dict.fromkeys(SOURCES, 1 / len(SOURCES))
  recipes = {
    f'recipe number {n}': [
      FakeStage('one', even, 700, peak=1e-3 / (n + 1)), FakeStage('two', even, 700), FakeStage('three', even, 100),
    ]
    for n in range(12)
  }  # fmt: skip
  study = write_fake_study(tmp_path / 'study', recipes, sources=list(SOURCES))
  page = write_report(study)
  assert page.stat().st_size < 6_000_000
  words = Page(page.read_text()).words
  assert all(words.count(name) >= 5 for name in recipes)


def test_drawing_leaves_matplotlib_as_it_was(small_study):
  import matplotlib

  before = dict(matplotlib.rcParams)
  write_report(small_study)
  assert dict(matplotlib.rcParams) == before


def test_importing_the_report_loads_no_heavy_package():
  heavy = ('jax', 'tensorflow', 'seqio', 'matplotlib', 'pandas', 'jinja2')
  check = f'import sys, codemix.studies.report; sys.exit(str([m for m in {heavy} if m in sys.modules]))'
  found = subprocess.run([sys.executable, '-c', check], capture_output=True, text=True)
  assert found.stderr.strip() == '[]'


def test_a_name_with_dollars_is_shown_as_it_is(tmp_path):
  name = r'a$\alpha$b'
  folder = write_fake_study(tmp_path / 's', {name: [FakeStage('s', {'text': 1.0}, 4)]})
  assert Page(write_report(folder).read_text()).words.count(name) > 5
