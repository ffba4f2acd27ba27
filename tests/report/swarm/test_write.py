"""The pages of a swarm's report: they stand alone, say what they show, and hold every number."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from codemix import cli, formatting
from codemix.errors import UserError
from codemix.report.swarm.write import FILES, write_swarm_report
from tests.report.page import Page
from tests.report.swarm.fake_swarm import tables, write


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> str:
  return write(tmp_path_factory.mktemp('files'), *tables())


@pytest.fixture(scope='module')
def written(files, tmp_path_factory) -> Path:
  """The folder of a report."""
  page, _ = write_swarm_report(files, tmp_path_factory.mktemp('written'))
  return page.parent


def test_the_three_files_are_written_and_nothing_else(written):
  assert {path.name for path in written.iterdir()} == set(FILES)


def test_the_same_files_give_the_same_bytes(files, written, tmp_path):
  write_swarm_report(files, tmp_path)
  assert all((tmp_path / name).read_bytes() == (written / name).read_bytes() for name in FILES)


def test_the_page_needs_nothing_but_itself(written):
  text = (written / 'swarm.html').read_text()
  page = Page(text)
  assert not {'script', 'link', 'img', 'iframe', 'object', 'embed'} & set(page.tags)
  assert all(link.startswith(('#', 'data:')) for link in page.values('href') + page.values('xlink:href'))
  ids = page.values('id')
  assert len(ids) == len(set(ids))
  assert {link[1:] for link in page.values('href') if link.startswith('#')} | set(re.findall(r'url\(#([^)]+)\)', text)) <= set(ids)


def test_every_picture_says_what_it_shows_and_reads_in_the_dark(written):
  text = (written / 'swarm.html').read_text()
  style, body = text.split('</style>', 1)
  labels = [label for label in Page(text).values('aria-label') if 'by share of code' in label]
  assert len(labels) == body.count('<svg') == 4
  assert all('95% interval' in label and 'over the upper half' in label for label in labels)
  for colour in set(re.findall(r'((?:stroke|fill): #[0-9a-f]{6})', body)):
    assert f"[style*='{colour}']" in style.split('prefers-color-scheme: dark')[1]
  assert 'stroke-dasharray' in body  # the edges of a band


def test_the_numbers_of_the_pages_are_those_of_the_table(written):
  table = pd.read_csv(written / 'swarm.csv').set_index('name')
  words = ' '.join(Page((written / 'swarm.html').read_text()).words)
  short = (written / 'swarm.md').read_text()
  for change in table.change_groups:
    assert all(f'{abs(change):.3f}' in text for text in (words, short))
  assert table.verdict['HumanEval'] == 'falls' and table.kind.tolist().count('group') == 4
  assert ((table.low_groups < table.change_groups) & (table.change_groups < table.high_groups)).all()


def test_both_pages_say_what_the_interval_holds_and_what_is_estimated(written):
  for name in ('swarm.html', 'swarm.md'):
    text = (written / name).read_text()
    for phrase in ('One model for each mixture', 'in proportion', 'HC3', 'Holm', 'stack-edu:Python', 'SHA-256'):
      assert phrase in text, (name, phrase)


def test_no_name_of_the_files_becomes_markup(tmp_path):
  hostile = ['<script>alert(1)</script>', '"><b>&amp;', '{{ 7 * 7 }}']
  shares, figures = tables(runs=40)
  shares = shares.rename(columns=dict(zip(['wiki', 'pdf:law', 'pdf:art'], hostile, strict=True)))
  files = write(tmp_path, shares, figures.rename(columns={'hellaswag:rc': hostile[0], 'mmlu_law:rc': hostile[1]}))
  page, _ = write_swarm_report(files, tmp_path / 'out')
  shown = Page(page.read_text())
  assert set(hostile) <= set(shown.words) and 'script' not in shown.tags
  assert '<script' not in (tmp_path / 'out' / 'swarm.md').read_text().replace(r'\<', '')


def test_scores_are_better_where_they_rise(tmp_path, files):
  write_swarm_report(files, tmp_path, metric='score')
  text = (tmp_path / 'swarm.html').read_text()
  assert 'higher is better' in text and 'lower is better' not in text
  assert re.search(f'<b class="worse">{formatting.MINUS}0[.]2', text)


def test_the_command_line_prints_the_verdicts(files, tmp_path, capsys):
  assert cli.main(['report', f'--from={files}', f'--output={tmp_path}']) == 0
  told = capsys.readouterr()
  assert '2 of 7 domains are of code' in told.out and re.search(r'HellaSwag .* not told apart', told.out)
  assert cli.main(['report', f'--from={files}', f'--output={tmp_path}', '--format=json', '--groups=Code=*humaneval*,mbpp*', '--code=stack-edu:*']) == 0
  assert json.loads(capsys.readouterr().out)['verdicts'] == {'Code': 'falls'}
  assert "'--code=stack-edu:*' '--groups=Code=*humaneval*,mbpp*'" in (tmp_path / 'swarm.md').read_text()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--from=ratios.csv'], 'give two files with a comma between them'),
    (['--code=stack-edu:*'], '--code is about the files of --from'),
    (['--code='], '--code is about the files of --from'),
    (['--from=ratios.csv,metrics.csv', '--code='], '--code= names no domain'),
    (['--from=ratios.csv,metrics.csv', '--code= ,'], '--code= , names no domain'),
    (['--metric=score'], '--metric is about the files of --from'),
  ],
)
def test_flags_that_lack_another_are_refused(flags, message, capsys):
  assert cli.main(['report', *flags]) == 2
  assert message in capsys.readouterr().err


def test_three_files_are_not_two(tmp_path):
  with pytest.raises(UserError, match='give two files'):
    write_swarm_report('a.csv,b.csv,c.csv', tmp_path)


def test_domains_that_may_be_of_code_are_named_on_the_terminal_and_the_page(tmp_path, capsys):
  shares, figures = tables(runs=40)
  files = write(tmp_path, shares.rename(columns={'wiki': 'topic:c'}), figures)
  assert cli.main(['report', f'--from={files}', f'--output={tmp_path}']) == 0
  assert all('Not counted as code' in text and 'topic:c' in text for text in (capsys.readouterr().err, (tmp_path / 'swarm.md').read_text()))
  assert cli.main(['report', f'--from={files}', f'--output={tmp_path}', '--code=stack-edu:*']) == 0
  assert 'Not counted as code' not in capsys.readouterr().err
