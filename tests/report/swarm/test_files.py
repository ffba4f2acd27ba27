"""The two files of a swarm: read alike in every form, and refused or left out with words where they are wrong."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest

from codemix.errors import StorageUnavailable, UserError
from codemix.report.swarm.files import read_swarm
from codemix.storage import as_path
from tests.report.swarm.fake_swarm import DOMAINS, NOTHING, RUNS, tables, write


@pytest.fixture
def shares():
  return tables()[0]


@pytest.fixture
def figures():
  return tables()[1]


def read(tmp_path, shares, figures, **given):
  return read_swarm(*write(tmp_path, shares, figures).split(','), **given)


@pytest.mark.parametrize('ending', ['csv', 'csv.gz', 'parquet'])
def test_every_form_of_file_gives_the_same_numbers(tmp_path, shares, figures, ending):
  found = read_swarm(*write(tmp_path, shares, figures, ending).split(','))
  assert found.domains == DOMAINS and found.code == DOMAINS[:2]
  assert found.runs == tuple(shares.run) and found.left_out == ()
  np.testing.assert_allclose(found.shares_NxD, shares[list(DOMAINS)], rtol=1e-12)
  np.testing.assert_allclose(found.figures_NxT, figures[list(found.tasks)], rtol=1e-12)
  assert found.sources[0].name == f'ratios.{ending}' and len(found.sources[0].sha256) == 64


def test_runs_are_joined_by_name_whatever_their_order(tmp_path, shares, figures):
  straight = read(tmp_path / 'a', shares, figures)
  shuffled = read(tmp_path / 'b', shares, figures.sample(frac=1, random_state=0))
  np.testing.assert_array_equal(straight.figures_NxT, shuffled.figures_NxT)


def test_runs_of_one_file_alone_are_counted_and_named(tmp_path, shares, figures):
  found = read(tmp_path, shares.iloc[2:], figures.iloc[:-1])
  assert len(found.runs) == RUNS - 3
  assert found.left_out == (
    f'1 of the {RUNS - 2} runs of ratios.csv are not in metrics.csv: r119.',
    f'2 of the {RUNS - 1} runs of metrics.csv are not in ratios.csv: r000, r001.',
  )


def test_names_of_runs_are_not_numbers(tmp_path, shares, figures):
  names = [f'{number}e1' for number in range(RUNS)]
  found = read(tmp_path, shares.assign(run=names), figures.assign(run=names))
  assert found.runs == tuple(names)


def test_missing_figures_stay_missing(tmp_path, shares, figures):
  figures.loc[3, NOTHING] = np.nan
  found = read(tmp_path, shares, figures)
  assert np.argwhere(np.isnan(found.figures_NxT)).tolist() == [[3, found.tasks.index(NOTHING)]]


def duplicated(table):
  table.loc[1, 'run'] = 'r000'


def renamed(table, column, name):
  table.columns = [name if each == column else each for each in table]


@pytest.mark.parametrize(
  ('spoil', 'message'),
  [
    (lambda s, f: s.__setitem__('web:games', s['web:games'] * 1.1), r'do not sum to 1, such as .* of run r000'),
    (lambda s, f: s.__setitem__('tokens', 10**9), r'do not sum to 1.*Columns with values above 1, which may not be shares: tokens'),
    (lambda s, f: s.loc.__setitem__((4, 'wiki'), np.nan), r"'wiki' of run r004 is missing. Write 0"),
    (lambda s, f: s.loc.__setitem__((4, 'wiki'), -0.1), r"'wiki' of run r004 is negative"),
    (lambda s, f: s.loc.__setitem__((4, 'wiki'), np.inf), r"'wiki' of run r004 is infinite"),
    (lambda s, f: s.loc.__setitem__((4, 'wiki'), 1e308), r"'wiki' of run r004 is beyond 1e[+]100"),
    (lambda s, f: duplicated(s), r'ratios.csv has 1 runs more than once: r000'),
    (lambda s, f: duplicated(f), r'metrics.csv has 1 runs more than once: r000'),
    (lambda s, f: s.loc.__setitem__((2, 'run'), ''), r"row 3 names no run"),
    (lambda s, f: renamed(s, 'run', 'runs'), r"ratios.csv has no column 'run'.* Did you mean 'runs'"),
    (lambda s, f: f.__setitem__('run', [f'x{n}' for n in range(RUNS)]), r'no run in common'),
    (lambda s, f: f.__setitem__('author', 'somebody'), r"metrics.csv: column 'author' is not of numbers: run r000 has 'somebody'"),
    (lambda s, f: f.loc.__setitem__((7, NOTHING), np.inf), r"'hellaswag:rc' of run r007 is infinite"),
    (lambda s, f: f.loc.__setitem__((7, NOTHING), -1e200), r"'hellaswag:rc' of run r007 is beyond 1e[+]100"),
    (lambda s, f: renamed(s, 'wiki', 'web:games'), r'two columns of one name: web:games'),
    (lambda s, f: [f.pop(c) for c in list(f) if ':' in c], r'metrics.csv has no column of numbers'),
  ],
)  # fmt: skip
def test_wrong_files_are_refused_with_the_place(tmp_path, shares, figures, spoil, message):
  spoil(shares, figures)
  with pytest.raises(UserError, match=message):
    read(tmp_path, shares, figures)


def test_a_file_without_rows_is_refused(tmp_path, shares, figures):
  with pytest.raises(UserError, match='metrics.csv has no rows'):
    read(tmp_path, shares, figures.iloc[:0])


def test_files_that_are_none_are_refused(tmp_path, shares, figures):
  ratios, metrics = write(tmp_path, shares, figures).split(',')
  (tmp_path / 'empty.csv').write_text('')
  (tmp_path / 'cut.csv.gz').write_bytes(gzip.compress(b'run,a\n' * 1000)[:-20])
  (tmp_path / 'no.parquet').write_bytes(b'PAR1')
  (tmp_path / 'ragged.csv').write_text('run,a\nr0,1\nr1,1,2,3\n')
  (tmp_path / 'latin.csv').write_bytes(b'run,a\nr\xe90,1\n')
  for name in ('empty.csv', 'cut.csv.gz', 'no.parquet', 'ragged.csv', 'latin.csv'):
    with pytest.raises(UserError, match=f'{name} is damaged'):
      read_swarm(str(tmp_path / name), metrics)
  with pytest.raises(UserError, match='absent.csv does not exist'):
    read_swarm(ratios, str(tmp_path / 'absent.csv'))
  with pytest.raises(UserError, match='ends in .csv, .csv.gz, .parquet'):
    read_swarm(str(tmp_path / 'ratios.xlsx'), metrics)


@pytest.mark.parametrize(('name', 'message'), [('a' * 300 + '.csv', 'File name too long'), ('a\0.csv', r'a\\x00.csv.* rename the file'), ('folder.csv', 'Is a directory')])
def test_files_that_cannot_be_read_are_refused(tmp_path, shares, figures, name, message):
  ratios, _ = write(tmp_path, shares, figures).split(',')
  (tmp_path / 'folder.csv').mkdir()
  with pytest.raises(UserError, match=message):
    read_swarm(ratios, str(tmp_path / name))


def test_a_bucket_that_does_not_answer_is_an_outage(tmp_path, shares, figures, monkeypatch):
  ratios, _ = write(tmp_path, shares, figures).split(',')
  pytest.importorskip('gcsfs')
  path = as_path('gs://bucket/metrics.csv')

  def away(self):
    raise OSError('503 Service Unavailable')

  monkeypatch.setattr(type(path), 'read_bytes', away)
  with pytest.raises(StorageUnavailable, match='gs://bucket/metrics.csv does not answer') as refused:
    read_swarm(ratios, str(path))
  assert refused.value.exit_code == 74


def test_one_file_is_not_both(tmp_path, shares, figures):
  ratios, _ = write(tmp_path, shares, figures).split(',')
  copied = shutil.copy(ratios, tmp_path / 'copied.csv')
  for other in (ratios, copied):
    with pytest.raises(UserError, match='are the same file'):
      read_swarm(ratios, str(other))


def test_an_index_that_joins_the_files_is_read(tmp_path, shares, figures):
  write(tmp_path, shares, figures, 'parquet')
  found = []
  for number, index in enumerate((['run'], ['name', 'run'], ['name'])):
    indexed = tmp_path / f'ratios{number}.parquet'
    shares.set_index(index).to_parquet(indexed)
    found.append(read_swarm(str(indexed), str(tmp_path / 'metrics.parquet')))
  assert {each.runs for each in found} == {tuple(shares.run)} and {each.domains for each in found} == {DOMAINS}


def test_what_a_subtraction_rounds_below_0_is_0(tmp_path, shares, figures):
  shares.loc[4, 'wiki'] = -1e-12
  shares.loc[4, 'pdf:art'] += 1 - shares.loc[4, list(DOMAINS)].sum()
  found = read(tmp_path, shares, figures)
  assert found.shares_NxD[4, DOMAINS.index('wiki')] == 0 and (found.shares_NxD >= 0).all()


def test_no_name_of_the_files_commands_a_terminal(tmp_path, shares, figures):
  figures.loc[3, 'run'] = 'zz\x1b[2J'
  found = read(tmp_path, shares.rename(columns={'wiki': 'wi\x1b]0;ki\x07'}), figures.rename(columns={NOTHING: '\x9b31mhella\u2028'}))
  assert r'wi\x1b]0;ki\x07' in found.domains and r'\x9b31mhella\u2028' in found.tasks and any(r'zz\x1b[2J' in each for each in found.left_out)
  assert all(text.isprintable() for text in (*found.domains, *found.tasks, *found.runs, *found.left_out, *found.groups))
  figures['wrong'] = 'x\x1b[2J'
  with pytest.raises(UserError) as refused:
    read(tmp_path, shares, figures)
  assert str(refused.value).isprintable() and r'x\x1b[2J' in str(refused.value)


@pytest.mark.parametrize('name', ['Unnamed: 0', ' ', 'index', 'name '])
def test_columns_that_name_or_count_runs_are_neither_domains_nor_tasks(tmp_path, shares, figures, name):
  extra = {name: range(RUNS)}
  found = read(tmp_path, shares.drop(columns=['name', 'index']).assign(**extra), figures.drop(columns=['name', 'index']).assign(**extra))
  assert found.domains == DOMAINS and name not in found.tasks
