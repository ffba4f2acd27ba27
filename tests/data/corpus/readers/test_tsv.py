"""Rows of tab-separated cells: each whole line is a row, each other one is set aside with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.readers.tsv import Tsv
from codemix.data.raw.record import BadRecord
from codemix.errors import UserError
from tests.data.corpus.files import reasons, rows, write_bytes

CELL = st.text(st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='\ufeff'), max_size=6)


@given(cells=st.lists(st.tuples(CELL, CELL, CELL).filter(lambda row: ''.join(row).strip()), max_size=6), end=st.sampled_from(['\n', '\r\n']))
@settings(max_examples=60, deadline=None)
def test_every_line_is_a_row_with_the_names_of_the_columns(tmp_path_factory, cells, end):
  path = write_bytes(tmp_path_factory.mktemp('table') / 'a.tsv', ''.join('\t'.join(row) + end for row in cells).encode())
  found = [row for row in rows(Tsv(columns=('a', 'b', 'c')), path) if not isinstance(row, BadRecord)]
  assert [tuple(row.values()) for _, row in found] == cells
  assert all(list(row) == ['a', 'b', 'c'] for _, row in found)


@pytest.mark.parametrize('name', ['a.tsv', 'a.tsv.gz', 'a.tsv.zst'])
def test_quotes_are_text_and_broken_lines_are_set_aside(tmp_path, name):
  path = write_bytes(tmp_path / name, b'x\t"y\n\nonly\n1\t2\t3\n\xff\tb\n\0\tb\nu\tv')
  found = rows(Tsv(columns=('a', 'b')), path)
  assert [row[1] for row in found if not isinstance(row, BadRecord)] == [{'a': 'x', 'b': '"y'}, {'a': 'u', 'b': 'v'}]
  assert reasons(found) == {f'{name}:3': 'wrong cells', f'{name}:4': 'wrong cells', f'{name}:5': 'not UTF-8', f'{name}:6': 'NUL byte'}


def test_columns_must_be_named():
  with pytest.raises(UserError, match='columns'):
    Tsv(columns=())
