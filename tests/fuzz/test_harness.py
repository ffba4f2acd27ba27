"""The harness sees what it is there for: a reader that hangs, floods the memory, crashes, says nothing useful or takes other data."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from codemix.errors import UserError
from tests.fuzz import harness
from tests.fuzz.harness import CHANGED, EQUAL, REFUSED, Input, fingerprint, outcome


@pytest.fixture
def path(tmp_path) -> Path:
  (tmp_path / 'file').write_bytes(b'abc')
  return tmp_path / 'file'


def spin() -> None:
  while True:
    pass


@pytest.mark.parametrize(
  ('read', 'says'),
  [(spin, 'takes more than'), (lambda: time.sleep(60), 'takes more than'), (lambda: bytearray(2**36), 'MemoryError'), (lambda: {}['x'], 'KeyError')],
)
def test_a_hang_a_flood_and_a_crash_are_faults(path, monkeypatch, read, says):
  monkeypatch.setattr(harness, 'CPU_S', 0.5)
  monkeypatch.setattr(harness, 'LIMIT_S', 2.0)
  assert says in outcome(Input('file', path, 'bytes', read), ['cut', 1], None)
  assert path.read_bytes() == b'abc'


def test_an_error_names_the_file(path):
  def refuse(message: str):
    raise UserError(message)

  assert outcome(Input('file', path, 'bytes', lambda: refuse(f'{path} is damaged.')), ['cut', 1], None) == REFUSED
  assert 'does not name the file' in outcome(Input('file', path, 'bytes', lambda: refuse('damaged.')), ['cut', 1], None)


def test_other_data_are_a_fault_where_a_digest_covers_them(path):
  expected = fingerprint(path.read_bytes())
  for sealed, found in ((True, 'other data than its digest covers are accepted'), (False, CHANGED)):
    assert outcome(Input('file', path, 'bytes', path.read_bytes, sealed=sealed), ['flip', 0, 1], expected) == found
  assert outcome(Input('file', path, 'bytes', lambda: b'abc', sealed=True), ['flip', 0, 1], expected) == EQUAL
