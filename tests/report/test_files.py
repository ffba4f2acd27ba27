"""What must hold of the pictures and tables that `codemix report --files` writes."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from codemix.cli import main
from codemix.report import latex
from codemix.report.table import Cell, Line, Table
from codemix.report.write import write_report
from codemix.studies.study_record import keep_former
from tests.report.fake_study import edit


def test_pictures_and_tables_lie_beside_the_report_and_are_renewed_with_it(small_study):
  assert main(['report', f'--output={small_study}', '--files']) == 0
  figures, tables = (small_study / 'report_files' / part for part in ('figures', 'tables'))
  names = {path.stem for path in figures.iterdir()}
  assert names and {path.name for path in figures.iterdir()} == {f'{name}.{ending}' for name in names for ending in ('svg', 'png', 'csv')}
  assert all(ElementTree.parse(path).getroot().tag == '{http://www.w3.org/2000/svg}svg' for path in figures.glob('*.svg'))
  assert all(path.read_bytes().startswith(b'\x89PNG') for path in figures.glob('*.png'))
  assert {'summary.tex', 'bits-per-byte.tex', 'changes.tex', 'mixtures.tex', 'costs.tex'} <= {path.name for path in tables.iterdir()}
  (tables / 'of-an-older-study.tex').write_text('')
  write_report(small_study)
  assert (tables / 'summary.tex').exists() and not (tables / 'of-an-older-study.tex').exists()


def test_they_are_kept_with_the_report_of_another_study(small_study):
  write_report(small_study, files=True)
  keep_former(small_study, {'recipes': {'another': {'stages': ['x']}}})
  (kept,) = (small_study / 'former').iterdir()
  assert (kept / 'report_files' / 'tables' / 'summary.tex').exists() and not list((small_study / 'report_files').rglob('*.tex'))


HOSTILE = '\\input{/etc/passwd} 100% & $x_1^2$ #1 ~ {a} [b] *\nsecond | <c> "d" `e`'


COMMANDS = {
  'begin', 'end', 'hline', 'multicolumn', 'textbf', 'footnotesize', 'textbackslash', 'textasciitilde', 'textasciicircum', 'textasciigrave', 'textless', 'textgreater',
  'textbar', 'textendash', 'ldots', 'pm', 'times', 'dagger', 'rightarrow', *'{}&%$#_',
}  # fmt: skip


def test_a_text_of_the_study_is_text_in_latex(small_study):
  edit(small_study / 'study.json', lambda study: study['recipes'].update({HOSTILE: {**study['recipes']['balanced-to-text'], 'arm': 'another'}}))
  write_report(small_study, files=True)
  for path in (small_study / 'report_files' / 'tables').iterdir():
    for line in path.read_text().splitlines()[1:]:
      commands = re.findall(r'\\([a-z]+|.)', line.removesuffix(r' \\'))
      assert set(commands) <= COMMANDS, line
      bare = re.sub(r'\\.', '', line)
      assert bare.count('{') == bare.count('}') and not set('#%~') & set(bare)


@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='no LaTeX here (apt-get install texlive-latex-base)')
def test_latex_typesets_every_table_as_a_paper_would_read_it(small_study, tmp_path):
  edit(small_study / 'study.json', lambda study: study['recipes'].update({HOSTILE: {**study['recipes']['balanced-to-text'], 'arm': 'another'}}))
  write_report(small_study, files=True)
  tables = sorted(path.name for path in shutil.copytree(small_study / 'report_files' / 'tables', tmp_path / 'tables').iterdir())
  read = '\n'.join(rf'\begin{{table}}\input{{tables/{name}}}\end{{table}}\clearpage' for name in tables)
  (tmp_path / 'paper.tex').write_text(rf'\documentclass{{article}}\begin{{document}}{read}\end{{document}}')
  made = subprocess.run(['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'paper'], cwd=tmp_path, capture_output=True, text=True)
  assert made.returncode == 0 and f'paper.pdf ({len(tables)} pages' in made.stdout.replace('\n', ' '), made.stdout[-2000:]


@pytest.mark.parametrize('letter', HOSTILE)
def test_every_letter_leaves_a_table_of_two_lines_as_it_is(letter):
  text = latex.tabular(Table(f'a{letter}b', [Cell('x'), Cell('y')], [Line([Cell(f'a{letter}b'), Cell(letter)])]))
  head, *body = text.splitlines()
  assert head.startswith('% ') and body == ['\\begin{tabular}{lr}', '\\hline', 'x & y \\\\', '\\hline', body[4], '\\hline', '\\end{tabular}']
  assert len(re.findall(r'(?<!\\)&', body[4])) == 1 and body[4].endswith(r'\\')


@pytest.mark.parametrize('arguments', [['--equal_points=0'], ['--equal_percent=-1'], ['--equal_points=nan'], ['--equal_percent=100'], ['--from=a,b', '--files']])
def test_what_cannot_be_is_refused_in_a_line(small_study, capsys, arguments):
  assert main(['report', f'--output={small_study}', *arguments]) == 2
  assert arguments[-1].split('=')[0] in capsys.readouterr().err
