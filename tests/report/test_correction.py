"""Colours of a table after the correction for its comparisons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codemix.inference.multiplicity import holm
from codemix.report.correction import corrected
from codemix.report.table import Cell, Line, Table

cells = st.builds(lambda p: Cell('x', mark='better' if p <= 0.05 else '', p=p), st.floats(0, 1))


def table_of(rows: list[list[Cell]]) -> Table:
  return Table('Changes.', [Cell('arm')], [Line([Cell('name'), *row], 'seed' if n % 2 else 'final') for n, row in enumerate(rows)])


@given(st.lists(st.lists(cells, max_size=4), max_size=4))
def test_a_colour_stays_exactly_if_holm_rejects(rows):
  table = table_of(rows)
  before = [cell for line in table.lines for cell in line.cells if cell.p is not None]
  after = [cell for line in corrected(table).lines for cell in line.cells if cell.p is not None]
  expected = holm([cell.p for cell in before]) <= 0.05 if before else []
  assert [bool(cell.mark) for cell in after] == list(expected)


def test_a_table_says_how_many_comparisons_it_was_corrected_for():
  found = corrected(table_of([[Cell('+2', mark='worse', p=0.04), Cell('-1', mark='better', p=0.001)]]))
  assert 'for the 2 comparisons of this table' in found.caption
  assert [cell.mark for cell in found.lines[0].cells] == ['', 'worse', 'better']
  many = corrected(table_of([[Cell('+2', mark='worse', p=0.04), Cell('-1', mark='better', p=0.001), Cell('0', p=0.9)]]))
  assert [cell.mark for cell in many.lines[0].cells] == ['', '', 'better', '']


def test_a_single_comparison_and_cells_without_one_stay_as_they_are():
  table = table_of([[Cell('+2', mark='worse', p=0.04)], [Cell('90%', mark='unlike')]])
  assert corrected(table) is table
