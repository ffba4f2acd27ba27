"""The filter drops what does not pass, says why, and is plain data."""

from __future__ import annotations

import pickle

import pytest

from codemix.data.filters import passes_tests
from codemix.data.filters.passes_tests import PassesTests
from codemix.data.raw.record import Record
from codemix.errors import UserError
from codemix.sandbox.limits import Limits

CASES = {
  None: Record('', language='python', program='assert True'),
  'failed': Record('', language='python', program='assert False'),
  'timed out': Record('', language='python', program='while True: pass'),
  'out of memory': Record('', language='python', program='x = bytearray(10 << 30)'),
  'too much output': Record('', language='python', program='while True: print("x" * 1000)'),
  'not run: no toolchain for haskell': Record('', language='haskell', program='main = return ()'),
  'not run: no language given': Record('', program='assert True'),
  'not run: no program': Record('def f(): pass', language='python'),
}
QUICK = PassesTests(Limits(cpu_seconds=1))


@pytest.mark.usefixtures('sandbox')
def test_every_reason_is_given_in_the_records_order():
  for order in (list(CASES), list(CASES)[::-1]):
    assert QUICK.reasons([CASES[reason] for reason in order]) == order


@pytest.mark.usefixtures('sandbox')
def test_one_record_gets_the_reason_that_it_gets_among_many():
  for reason in (None, 'failed', 'not run: no program'):
    assert QUICK.reason(CASES[reason]) == reason


def test_it_is_sent_to_workers_as_it_is():
  assert pickle.loads(pickle.dumps(QUICK)) == QUICK
  assert PassesTests().name == 'passes tests'


def test_without_a_sandbox_it_refuses_unless_it_was_told_otherwise(monkeypatch):
  def none(*_):
    raise UserError('no sandbox')

  monkeypatch.setattr('codemix.sandbox.bubblewrap.isolated', none)
  monkeypatch.setattr(passes_tests, 'sandbox_works', lambda: False)
  from codemix.sandbox.execute import _require_working

  _require_working.cache_clear()
  with pytest.raises(UserError, match='no sandbox'):
    PassesTests().reason(CASES[None])
  assert PassesTests(allow_unsandboxed=True).reason(CASES[None]) is None
  assert PassesTests(allow_unsandboxed=True).reason(CASES['failed']) == 'failed'


@pytest.mark.usefixtures('sandbox')
def test_where_there_is_a_sandbox_it_is_used_whatever_is_allowed(tmp_path):
  record = Record('', language='python', program=f'open({str(tmp_path / "x")!r}, "w")')
  assert PassesTests(allow_unsandboxed=True).reason(record) == 'failed'
  assert not (tmp_path / 'x').exists()
