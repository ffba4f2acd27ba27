"""The paper's figures beside ours: in its layout, with what is missing shown as missing, and verified as everything else."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.report import figures, html, judge_table, judged_pairs, markdown, paper_figures, svg
from codemix.report.content import Content, gather
from codemix.report.figures import Pictures
from codemix.report.results import read_study
from codemix.report.svg import Picture
from codemix.report.table import Table
from codemix.report.verify import verify_report
from codemix.report.write import write_report
from tests.report.page import Page
from tests.report.planned_study import TASKS, write_planned_study, write_verdicts
from tests.test_gin_plans import at_scale


def drawn(content: Content) -> dict[str, list[Picture]]:
  with svg.drawing(pixels=False):
    return paper_figures.draw(content) | judged_pairs.draw(content)


@functools.cache
def drawn_once(folder: Path) -> dict[str, list[Picture]]:
  return drawn(content_of(folder))


def only_the_papers(content: Content, **_) -> Pictures:
  """Drawing the others, and all of them again for each test, would be most of the time."""
  return Pictures([], [], [], [], [], [], drawn_once(content.study.folder), [])


@pytest.fixture(scope='module', autouse=True)
def without_other_pictures() -> Iterator[None]:
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(figures, 'draw', only_the_papers)
    yield


def written(folder: Path, study: str, tasks=TASKS) -> Path:
  return write_planned_study(folder / 'study', at_scale(f'studies/{study}.gin', 'quickstart'), tasks)


def content_of(folder: Path) -> Content:
  return gather(read_study(folder))


@pytest.fixture(scope='module')
def initialization(tmp_path_factory) -> Path:
  """The four recipes, judged against text-only after the cooldown, and once the other way round."""
  folder = written(tmp_path_factory.mktemp('initialization'), 'initialization')
  last = {name: recipe['stages'][-1] for name, recipe in json.loads((folder / 'study.json').read_text())['recipes'].items()}
  write_verdicts(folder, last['balanced_to_text'], last['text_only'], win=0.5, loss=0.3, tie=0.2, win_rate=0.6, judged=200, prompts=200)
  write_verdicts(folder, last['text_only'], last['code_to_text'], win=0.45, loss=0.35, tie=0.2, win_rate=0.55, judged=200, prompts=200)
  write_verdicts(folder, last['balanced_only'], 'another-study', win=0.9, loss=0.1, tie=0.0, judged=200, prompts=200)
  return folder


@pytest.fixture(scope='module')
def content(initialization) -> Content:
  return content_of(initialization)


@pytest.fixture(scope='module')
def pictures(initialization) -> dict[str, list[Picture]]:
  return drawn_once(initialization)


@pytest.fixture(scope='module')
def reported(initialization) -> Path:
  write_report(initialization)
  return initialization


def cells(table: Table) -> dict[str, dict[str, list[str]]]:
  """The texts of each line by its first cell and the header; one for each column of that header."""
  found: dict[str, dict[str, list[str]]] = {}
  for line in table.lines:
    of = found.setdefault(line.cells[0].text, {})
    for head, cell in zip(table.header[1:], line.cells[1:], strict=True):
      of.setdefault(head.text, []).append(cell.text)
  return found


def numbers(picture: Picture) -> list[dict[str, str]]:
  return list(csv.DictReader(io.StringIO(picture.csv)))


def test_a_figure_has_the_papers_bars_in_its_order_beside_ours(content):
  table = cells(paper_figures.tables(content)['figure-2'])
  assert list(table) == ['text-only', 'balanced-only', 'balanced→text', 'code→text']
  assert [of['Paper'] for of in table.values()] == [['49.0', '9.5', '0.4'], ['51.8', '8.1', '9.0'], ['53.0', '9.9', '4.8'], ['53.3', '9.5', '4.1']]
  assert table['code→text']['Ours'] == ['code_to_text']
  row = content.rows_of(next(arm for arm in content.arms if arm.name == 'code_to_text'))[1]
  reasoning = next(a for a in content.suite.aggregates if a.label == 'Reason.').score.mean(row.folders)
  assert table['code→text']['NL reasoning'] == [f'{100 * reasoning.value:.1f}'] and row.stage.name == 'continued'
  assert table['code→text']['Held-out text'] == [f'{row.bits["local_text"].value:.3f}']


def test_every_panel_is_a_picture_with_its_numbers_and_words(pictures):
  assert [picture.name for picture in pictures['figure-2']] == [f'figure-2-{number}' for number in range(5)]
  of_text, _, reasoning, *_ = pictures['figure-2']
  assert [(line['who'], line['model']) for line in numbers(reasoning)] == [(who, model) for who in ('ours', 'the paper') for model in ('text-only', 'balanced-only', 'balanced→text', 'code→text')]
  assert [float(line['value']) for line in numbers(reasoning)[4:]] == pytest.approx([0.49, 0.518, 0.53, 0.533])
  assert 'the paper 53.3' in reasoning.alt and 'ours over 1 of 11 tasks' in reasoning.alt and 'Figure 2 of the paper' in reasoning.alt
  assert {line['who'] for line in numbers(of_text)} == {'ours'} and 'the paper 5' not in of_text.alt


def test_bars_of_ours_and_the_papers_are_told_apart_without_colours(pictures):
  picture = pictures['figure-2'][2]
  assert picture.svg.count('<pattern') == 1 and 'url(#' in picture.svg  # hatched
  assert '>ours</text>' in picture.svg and '>the paper</text>' in picture.svg


def test_what_is_missing_is_shown_as_missing(content, pictures):
  lines = {line.cells[0].text: line for line in paper_figures.tables(content)['figure-6'].lines}
  absent = lines['balanced→text, cooled down without code']
  assert absent.cells[1].text == '–' and absent.cells[1].notes == ['not in this study']
  assert [cell.text for cell in absent.cells[2:]] == ['–', '–', '–', '52.9', '–', '10.2', '–', '4.8']
  picture = pictures['figure-6'][2]
  assert 'cooled down without code: ours missing, the paper 52.9' in picture.alt and '>–</text>' in picture.svg
  assert [line['value'] for line in numbers(picture) if line['who'] == 'ours'][1] == ''


def test_a_study_without_benchmarks_has_its_held_out_data_in_the_layout_and_the_papers_numbers_in_the_table(tmp_path):
  content = content_of(written(tmp_path, 'cooldown', tasks={}))
  assert [picture.name for picture in drawn(content)['figure-6']] == ['figure-6-0', 'figure-6-1']
  table = cells(paper_figures.tables(content)['figure-6'])
  assert table['balanced→text, cooled down'] == {
    'Ours': ['with_code'], 'Held-out text': table['balanced→text, cooled down']['Held-out text'], 'Held-out code': table['balanced→text, cooled down']['Held-out code'],
    'NL reasoning': ['–'], 'Paper': ['54.9', '10.9', '5.8'], 'World knowledge': ['–'], 'Code': ['–'],
  }  # fmt: skip
  assert table['balanced→text']['Ours'] == ['no_cooldown, without_code, with_code']


def test_figure_3_has_both_sizes(tmp_path):
  content = content_of(written(tmp_path, 'scale', tasks={}))
  table = cells(paper_figures.tables(content)['figure-3'])
  assert {model: (of['Ours'], of['Paper']) for model, of in table.items()} == {
    'balanced-only, 470M': (['balanced_only, smaller'], ['51.8', '8.1', '9.0']),
    'balanced-only, 2.8B': (['balanced_only, larger'], ['54.5', '23.6', '21.8']),
    'balanced→text, 470M': (['balanced_to_text, smaller'], ['53.0', '9.9', '4.8']),
    'balanced→text, 2.8B': (['balanced_to_text, larger'], ['55.8', '27.1', '12.4']),
    'code→text, 470M': (['code_to_text, smaller'], ['53.3', '9.5', '4.1']),
    'code→text, 2.8B': (['code_to_text, larger'], ['57.9', '25.6', '11.7']),
  }
  assert '470M and 2.8B' in paper_figures.tables(content)['figure-3'].caption


def test_both_readings_of_a_kind_of_code_are_beside_the_papers(tmp_path):
  content = content_of(written(tmp_path, 'properties', tasks={}))
  table = cells(paper_figures.tables(content)['figure-5a'])
  assert table['code+synthetic']['Ours'] == ['code+synthetic', 'code+markup+synthetic'] and table['code+synthetic']['Paper'] == ['44.7', '15.5'] * 2
  assert 'World knowledge' not in table['code']
  assert 'code+synthetic (code+markup+synthetic): ours' in drawn(content)['figure-5a'][0].alt


# Win rates.


def test_published_win_rates_stand_below_the_judged_pairs_turned_as_they_are(content):
  lines = judge_table.judged(content).lines
  below = {line.cells[0].notes[0]: [cell.text for cell in line.cells[1:5]] for line in lines if line.cells[0].text.startswith('the paper')}
  assert below == {
    'text-only, cooled down v balanced→text, cooled down, Figure 8': ['37.7%', '34.7%', '27.6%', '51.5%'],
    'text-only, cooled down v code→text, cooled down, Figure 8': ['33.7%', '36.7%', '29.6%', '48.5%'],
  }


def test_figure_8_has_our_verdicts_with_the_papers_first_model_first(content, pictures):
  [table] = judged_pairs.tables(content).values()
  assert [[cell.text for cell in line.cells] for line in table.lines] == [
    ['text-only, cooled down v balanced-only, cooled down', 'ours', '–', '–', '–'],
    ['text-only, cooled down v balanced-only, cooled down', 'the paper', '35.7', '31.7', '32.7'],
    ['text-only, cooled down v balanced→text, cooled down', 'ours', '30.0', '20.0', '50.0'],
    ['text-only, cooled down v balanced→text, cooled down', 'the paper', '34.7', '27.6', '37.7'],
    ['text-only, cooled down v code→text, cooled down', 'ours', '45.0', '20.0', '35.0'],
    ['text-only, cooled down v code→text, cooled down', 'the paper', '33.7', '29.6', '36.7'],
  ]
  [picture] = pictures['figure-8']
  assert 'balanced-only, cooled down, ours not judged' in picture.alt and 'the paper 34.7 / 27.6 / 37.7' in picture.alt
  assert [line['first_wins'] for line in numbers(picture) if line['who'] == 'ours'] == ['', '0.3', '0.45']


def test_several_comparisons_of_a_pair_are_averaged(tmp_path):
  folder = written(tmp_path, 'cooldown', tasks={})
  last = {name: recipe['stages'][-1] for name, recipe in json.loads((folder / 'study.json').read_text())['recipes'].items()}
  write_verdicts(folder, last['with_code'], last['no_cooldown'], win=0.6, loss=0.2, tie=0.2)
  write_verdicts(folder, last['no_cooldown'], last['with_code'], win=0.4, loss=0.4, tie=0.2)
  table = judged_pairs.tables(content_of(folder))['figure-7']
  ours = [line for line in table.lines if line.cells[1].text == 'ours']
  assert [cell.text for cell in ours[1].cells[2:]] == ['30.0', '20.0', '50.0'] and ours[1].cells[1].notes == ['2 comparisons']
  assert [cell.text for cell in ours[0].cells[2:]] == ['–'] * 3


# The report.


def test_the_page_and_report_md_have_the_figures(reported):
  text = (reported / 'report.html').read_text()
  page = Page(text)
  assert 'Beside the paper' in page.words and 'id="paper"' in text and 'href="#paper"' in text
  labels = [label for label in page.values('aria-label') if label.startswith('Figure ')]
  assert sum('of the paper' in label for label in labels) == 2 * 5 + 1 + 3  # pictures, and tables with their captions
  short = (reported / 'report.md').read_text()
  assert '## Beside the paper' in short and '| balanced→text, cooled down without code | – (not in this study) |' in short


def test_verify_finds_a_published_number_that_was_changed(reported):
  assert verify_report(reported).state == 'as its units say'
  path = reported / 'report.md'
  before = path.read_text()
  path.write_text(before.replace('| 53.3 |', '| 35.3 |'))
  found = verify_report(reported)
  path.write_text(before)
  assert found.state == 'altered' and any("'Beside the paper'" in str(finding) for finding in found.findings)


def test_the_same_study_gives_the_same_pictures(tmp_path):
  folder = written(tmp_path, 'transfer', tasks={})
  assert drawn(content_of(folder)) == drawn(content_of(folder))


def test_a_report_of_no_arm_of_the_paper_has_no_section_of_it(tmp_path):
  content = content_of(written(tmp_path, 'phased', tasks={}))
  assert 'id="paper"' not in html.render(content) and 'Beside the paper' not in markdown.render(content)
