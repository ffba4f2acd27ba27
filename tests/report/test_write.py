"""What must hold of the pages of a report: they stand alone, say what they show, and run nothing but the script that sorts tables."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from codemix.report.write import write_report
from codemix.studies.study_record import keep_former
from tests.report.fake_study import SOURCES, edit, scores_of, stage, stage_folders, write_fake_study
from tests.report.page import Page


@pytest.fixture(scope='module')
def page(finished_study) -> Page:
  return Page((finished_study / 'report.html').read_text())


# The page.


def test_the_page_needs_nothing_but_itself(finished_study, page):
  text = (finished_study / 'report.html').read_text()
  assert not {'link', 'img', 'iframe', 'object', 'embed'} & set(page.tags)
  links = page.values('href') + page.values('xlink:href')
  assert all(link.startswith(('#', 'data:')) for link in links)
  assert len(page.values('download')) == sum(link.startswith('data:') for link in links)
  assert '@import' not in text and not re.search(r'url\((?!#|%23)', text)
  assert not re.search(r'(?:src|srcset|action)=', text)


def test_a_browser_runs_one_script_and_no_other(finished_study, page):
  text = (finished_study / 'report.html').read_text()
  (script,) = re.findall(r'<script>(.*?)</script>', text, re.DOTALL)
  assert page.tags.count('script') == 1 and not re.search(r'fetch|XMLHttp|import|eval|innerHTML|https?:', script)
  (policy,) = [value for value in page.values('content') if 'script-src' in value]
  seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  assert f"script-src 'sha256-{seal}';" in policy and policy.startswith("default-src 'none';")


def test_ids_are_unique_and_every_reference_has_its_target(finished_study, page):
  ids = page.values('id')
  assert len(ids) == len(set(ids))
  text = (finished_study / 'report.html').read_text()
  links = page.values('href') + page.values('xlink:href')
  references = [link[1:] for link in links if link.startswith('#')] + re.findall(r'url\(#([^)]+)\)', text)
  assert references and set(references) <= set(ids)


def test_every_picture_says_what_it_shows(page):
  svgs = page.tags.count('svg')
  assert len(page.values('aria-label')) > 10
  hidden = page.values('aria-hidden').count('true')
  assert page.values('role').count('img') + hidden >= svgs


def test_every_colour_of_a_picture_has_another_on_a_dark_screen(finished_study):
  style, body = (finished_study / 'report.html').read_text().split('</style>', 1)
  drawn = set(re.findall(r'((?:stroke|fill): #[0-9a-f]{6})', body))
  assert len(drawn) > 5 and drawn == set(re.findall(r'(?:stroke|fill|background): ?#[0-9a-f]{6}', body))
  for colour in drawn:
    assert f"[style*='{colour}']" in style.split('prefers-color-scheme: dark')[1]
  for name in set(re.findall(r'var\(--([\w-]+)\)', body)):
    assert f'--{name}:' in style


def test_the_page_shows_each_figure_of_each_stage(finished_study, page):
  words = ' '.join(page.words)
  for folder in stage_folders(finished_study):
    for source in ('text', 'code'):
      assert f'{scores_of(finished_study, folder.name, source)["bits_per_byte"]:.3f}' in words


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
    edit(folder / 'evaluation' / 'samples.json', lambda found: found['samples'][0].update(text=hostile, prompt=hostile))
  shown = Page(write_report(small_study).read_text())
  assert hostile in shown.words
  assert any(hostile in label for label in shown.values('aria-label'))
  assert shown.tags.count('script') == 1
  short = (small_study / 'report.md').read_text()
  title = short.splitlines()[0]
  assert title.startswith('# ') and '<' not in title.replace(r'\<', '')
  if '`' in hostile:
    assert f'````text\n{hostile}{hostile}\n````' in short


def test_the_same_folder_gives_the_same_bytes(finished_study, tmp_path):
  copy = Path(shutil.copytree(finished_study, tmp_path / 'study'))
  write_report(copy)
  for name in ('report.html', 'report.md', 'report.json', 'results.csv', 'scores.csv'):
    assert (copy / name).read_bytes() == (finished_study / name).read_bytes()


def test_nothing_but_the_files_of_the_report_is_written(finished_study):
  assert {path.name for path in finished_study.iterdir()} == {
    'study.json', 'stages', 'report.html', 'report.md', 'report.json', 'results.csv', 'scores.csv',
  }  # fmt: skip


def test_a_large_study_still_makes_a_page_of_a_few_megabytes(tmp_path):
  even = dict.fromkeys(SOURCES, 1 / len(SOURCES))
  recipes = {
    f'recipe number {n}': [
      stage('one', even, 700, peak=1e-3 / (n + 1)), stage('two', even, 700), stage('three', even, 100),
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
  check = f'import sys, codemix.report.write; sys.exit(str([m for m in {heavy} if m in sys.modules]))'
  found = subprocess.run([sys.executable, '-c', check], capture_output=True, text=True)
  assert found.stderr.strip() == '[]'


def test_a_name_with_dollars_is_shown_as_it_is(tmp_path):
  name = r'a$\alpha$b'
  folder = write_fake_study(tmp_path / 's', {name: [stage('s', {'text': 1.0}, 4)]})
  assert Page(write_report(folder).read_text()).words.count(name) > 5


# What can be kept of it.


def test_each_picture_can_be_kept_as_vectors_pixels_and_numbers(finished_study, page):
  names = page.values('download')
  kinds = {name.rsplit('.', 1)[1] for name in names}
  assert kinds == {'svg', 'png', 'csv'} and len(names) == len(set(names)) > 20
  files = {
    name: data_of(link)
    for name, link in zip(names, [link for link in page.values('href') if link.startswith('data:')], strict=True)
  }
  for name, data in files.items():
    if name.endswith('.svg'):
      root = ElementTree.fromstring(data)
      assert root.tag == '{http://www.w3.org/2000/svg}svg'
      assert {element.tag.rpartition('}')[2] for element in root.iter()} >= {'text', 'path'}
    elif name.endswith('.png'):
      assert data.startswith(b'\x89PNG\r\n')
    else:
      assert len(pd.read_csv(io.BytesIO(data))) > 0
  last = pd.read_csv(io.BytesIO(files['code-in-pre-training-in-miniature-last0.csv'])).set_index('arm')
  table = pd.read_csv(finished_study / 'results.csv').set_index(['recipe', 'position', 'source'])
  assert last.text['code-to-text'] == pytest.approx(table.bits_per_byte['code-to-text', 3, 'text'], rel=1e-4)


def data_of(link: str) -> bytes:
  kind, _, data = link.partition(',')
  return base64.b64decode(data) if kind.endswith('base64') else urllib.parse.unquote_to_bytes(data)


def test_the_numbers_of_a_training_figure_are_those_of_the_metrics(finished_study, page):
  links = dict(zip(page.values('download'), [link for link in page.values('href') if link.startswith('data:')], strict=True))
  drawn = pd.read_csv(io.BytesIO(data_of(links['code-in-pre-training-in-miniature-arm0.csv'])))
  assert set(drawn.what) == {
    'loss', 'loss_smoothed', 'loss_smoothed/text', 'loss_smoothed/code', 'rate', 'grad_norm_smoothed', 'tokens_per_second_smoothed',
  }  # fmt: skip
  first = drawn[drawn.what == 'loss'].iloc[0]
  folder = json.loads((finished_study / 'study.json').read_text())['recipes']['text-only']['stages'][0]
  line = json.loads((finished_study / 'stages' / folder / 'metrics.jsonl').read_text().splitlines()[0])
  assert first.step == line['step'] and first.value == pytest.approx(line['loss'], rel=1e-4)


def test_no_title_or_name_in_a_picture_is_wider_than_its_room(tmp_path):
  name = 'a name of an arm that goes on and on ' * 4
  folder = write_fake_study(
    tmp_path / 's', {name: [stage('s', {'text': 1.0}, 8)], 'wide': [stage('s', {'text': 1.0}, 8)]}, widths={'wide': 512}
  )
  drawings = list(re.finditer(r'<svg [^>]*viewBox="0 0 (\d{3}) .*?</svg>', write_report(folder).read_text(), re.DOTALL))
  assert len(drawings) > 8
  for drawing in drawings:
    for text in re.findall(r'<text[^>]*>([^<]*)</text>', drawing.group(0)):
      assert len(text) * 6.2 < float(drawing.group(1)), text


# To repeat it.


@pytest.mark.parametrize(
  'arguments',
  [
    ["--gin.continued/Stage.mixture={'text': (0.7, %TEXT), 'code': (0.3, %CODE)}", "--gin.Runtime.output='runs/more'"],
    ['--gin.Study.note="it\'s $HOME and `ls` \\ !x"'],
    ['--gin.Study.note=\'two\nlines\''],
    ['--gin_file=a b.gin', '--output', 'runs/x'],
    [],
  ],
)
def test_the_command_is_pasted_into_bash_as_it_was_typed(small_study, arguments):
  words = ['codemix', 'study', *arguments]
  edit(small_study / 'study.json', lambda study: study['provenance'].update(command=shlex.join(words)))
  page = Page(write_report(small_study).read_text())
  command = [text for text in page.words if text.startswith('codemix study')][-1]
  printed = subprocess.run(
    ['bash', '-c', 'codemix() { printf "%s\\0" "$@"; }\n' + command], capture_output=True, text=True, check=True
  )
  assert printed.stdout.split('\0')[:-1] == words[1:]
  assert command in (small_study / 'report.md').read_text()


def test_a_command_that_was_not_recorded_as_a_shell_reads_it_is_left_as_it_is(small_study):
  command = "codemix study --gin.note='it's"
  edit(small_study / 'study.json', lambda study: study['provenance'].update(command=command))
  assert command in Page(write_report(small_study).read_text()).words


# Another study in the same folder.


def test_the_report_of_another_study_is_kept_with_a_message(finished_study, tmp_path):
  folder = Path(shutil.copytree(finished_study, tmp_path / 'study'))
  record = json.loads((folder / 'study.json').read_text())
  page = (folder / 'report.html').read_bytes()
  assert keep_former(folder, record) is None
  other = {**record, 'recipes': {'text-only': record['recipes']['text-only']}}
  message = keep_former(folder, other)
  (kept,) = (folder / 'former').iterdir()
  assert str(kept) in message and '4 recipes' in message
  assert (kept / 'report.html').read_bytes() == page
  assert {path.name for path in kept.iterdir()} == {'report.html', 'report.md', 'report.json', 'results.csv', 'scores.csv', 'study.json'}
  assert not (folder / 'report.html').exists()


def test_a_name_in_a_script_that_the_font_lacks_makes_no_noise(tmp_path, recwarn):
  name = '基线 🚀'
  folder = write_fake_study(tmp_path / 's', {name: [stage('s', {'text': 1.0}, 4)]})
  assert Page(write_report(folder).read_text()).words.count(name) > 5
  assert not [warning for warning in recwarn if 'Glyph' in str(warning.message)]


def test_steps_that_were_not_learned_from_are_a_note(small_study):
  folder = stage_folders(small_study)[0]
  skipped = [{'stage_step': step, 'why': why, 'sources': {}} for step, why in ((2, 'spike'), (3, 'spike'), (7, 'not finite'))]
  edit(folder / 'ledger.json', lambda ledger: ledger.update(skipped=skipped))
  write_report(small_study)
  assert f'{folder.name}: 3 of 12 steps were not learned from (2 spike, 1 not finite)' in (small_study / 'report.html').read_text()
