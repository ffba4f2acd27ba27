"""What a browser does with the pages: nothing is wider than its window, tables sort and filter, and nothing complains."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemix.report.write import write_report
from tests.browser import CHROMIUM, browser
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import stage, write_fake_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium on this machine')

# The text of a column of the first table, of the lines that are seen, and without those of seeds.
COLUMN = """(column => [...document.querySelector('#outcome table').tBodies[0].rows]
  .filter(row => !row.hidden && !row.classList.contains('seed'))
  .map(row => row.cells[column].firstChild.textContent))"""
ARMS, BITS = 0, 5
HEAD = "document.querySelectorAll('#outcome thead button')"


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> Path:
  shares = (0.0, 0.9, 0.5, 0.1, 0.75, 0.25, 1.0, 0.6)
  recipes = {
    f'{"<b>" if share == 0.5 else ""}{100 * share:.0f}% code seed {seed}': [
      stage('pre', {'text': round(1 - share, 2), 'code': share} if 0 < share < 1 else {'code' if share else 'text': 1.0}, 12), stage('then', {'text': 1.0}, 8)
    ]
    for share in shares for seed in (0, 1)
  }  # fmt: skip
  folder = write_fake_study(tmp_path_factory.mktemp('browser') / 'study', recipes, seeds={name: int(name[-1]) for name in recipes})
  return write_report(add_benchmarks(folder, {'piqa': (40, 2), 'humaneval': (20, 0)}))


@pytest.fixture(scope='module')
def tab():
  with browser() as tab:
    yield tab


@pytest.mark.parametrize('scripts', [True, False])
@pytest.mark.parametrize('width', [1280, 390])
def test_nothing_is_wider_than_the_window_and_nothing_complains(tab, page, width, scripts):
  tab.open(page, width, scripts=scripts)
  before = len(tab.complaints)
  tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
  assert tab.run('document.documentElement.scrollWidth') <= width
  assert tab.complaints[before:] == []
  assert (tab.run("document.querySelectorAll('thead button').length") > 0) == scripts


@pytest.mark.parametrize('width', [1280, 390])
def test_a_table_sorts_by_a_click_and_goes_back(tab, page, width):
  tab.open(page, width)
  first = tab.run(f'{COLUMN}({BITS})')
  click = lambda: tab.run(f"{HEAD}[{BITS}].click(); {HEAD}[{BITS}].closest('th').getAttribute('aria-sort')")
  assert click() == 'ascending' and tab.run(f'{COLUMN}({BITS})') == sorted(first, key=float)
  assert click() == 'descending' and tab.run(f'{COLUMN}({BITS})') == sorted(first, key=float, reverse=True)
  assert click() == 'none' and tab.run(f'{COLUMN}({BITS})') == first != sorted(first, key=float)


def test_a_table_sorts_by_the_keyboard_too(tab, page):
  tab.open(page, 1280)
  first = tab.run(f'{COLUMN}({BITS})')
  tab.run(f'{HEAD}[{BITS}].focus()')
  tab.press('Enter', 13)
  assert tab.run(f'{COLUMN}({BITS})') == sorted(first, key=float)
  assert tab.run("document.querySelectorAll('#outcome table')[0].querySelectorAll('[aria-sort=ascending]').length") == 1


def test_the_lines_of_seeds_and_stages_stay_with_their_arm(tab, page):
  tab.open(page, 1280)
  blocks = """(() => { const found = {}; let head = null;
    for (const row of document.querySelector('#outcome table').tBodies[0].rows) {
      if (row.classList.contains('seed')) found[head].push(row.textContent); else { head = row.cells[0].textContent; found[head] = [row.textContent]; }
    } return found; })()"""
  bodies = "[...document.querySelector('#results table').tBodies].filter(body => body.rows.length).map(body => body.textContent)"
  before, stages = tab.run(blocks), tab.run(bodies)
  tab.run(f"{HEAD}[{BITS}].click(); document.querySelectorAll('#results thead button')[3].click()")
  assert tab.run(blocks) == before and list(tab.run(blocks)) != list(before)
  assert sorted(tab.run(bodies)) == sorted(stages) and tab.run(bodies) != stages


def test_what_guessing_gives_stays_below(tab, page):
  tab.open(page, 1280)
  last = "[...document.querySelectorAll('#benchmarks h3 + p + .scroll table, #benchmarks h3 + .scroll table')].map(table => table.rows[table.rows.length - 1].cells[0].textContent)"
  tab.run("document.querySelectorAll('#benchmarks thead button').forEach(button => button.click())")
  assert tab.run(last) and set(tab.run(last)) == {'Items'}


def test_a_filter_leaves_the_lines_with_all_its_words(tab, page):
  tab.open(page, 1280)
  arms = tab.run(f'{COLUMN}({ARMS})')
  write = lambda text: tab.run(
    "(() => { const field = document.querySelector('#outcome p.filter input');"
    f" field.value = '{text}'; field.dispatchEvent(new Event('input')); return field.nextSibling.textContent; }})()"
  )
  assert write('CODE 90%') == f'1 of {len(arms)}'
  assert tab.run(f'{COLUMN}({ARMS})') == ['90% code']
  assert write('nothing like it') == f'0 of {len(arms)}'
  assert write('') == '' and tab.run(f'{COLUMN}({ARMS})') == arms
