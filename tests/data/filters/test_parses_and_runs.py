"""What parses and what runs is kept; another language is refused, or counted as not run."""

from __future__ import annotations

import pickle

import pytest

from codemix.data.filters.parses import Parses
from codemix.data.filters.runs import Runs
from codemix.data.raw.record import Record
from codemix.errors import UserError
from codemix.sandbox.limits import Limits

PROGRAMS = {
  None: Record('print(sum(range(9)))', language='python'),
  'failed': Record('from . import missing', id='package/module.py'),
  'timed out': Record('while True: pass', language='Python'),
  'not run: no toolchain for haskell': Record('main = return ()', language='haskell'),
  'not run: no language given': Record('assert True', id='notes'),
}


@pytest.mark.parametrize(('text', 'reason'), [('x = "\\d"', None), ('', None), ('print x', 'does not parse'), ('a\0b', 'does not parse'), ('(' * 3000, 'does not parse')])
def test_what_parses_is_kept(text, reason, recwarn):
  assert Parses().reason(Record(text, language='py')) == Parses().reason(Record(text, id='a/b.py')) == reason
  assert not recwarn.list


@pytest.mark.parametrize('record', [Record('fn main() {}', language='rust', id='7'), Record('x', id='notes')])
def test_another_language_is_refused_with_what_to_change(record):
  with pytest.raises(UserError, match=f"Parses knows python, and the document '{record.id}'.*Languages"):
    Parses().reason(record)


@pytest.mark.usefixtures('sandbox')
def test_what_runs_to_its_end_is_kept_in_the_records_order():
  runs = Runs(Limits(cpu_seconds=1))
  assert runs.reasons(list(PROGRAMS.values())) == list(PROGRAMS)
  assert runs.reason(PROGRAMS[None]) is None


@pytest.mark.usefixtures('sandbox')
def test_the_text_runs_and_not_the_program_that_checks_it():
  assert Runs().reason(Record('assert True', language='python', program='assert False')) is None
  assert Runs().reason(Record('def f(): pass', language='python', program='')) is None


@pytest.mark.parametrize('filter', [Parses(), Runs(Limits(cpu_seconds=3))])
def test_they_travel_to_workers(filter):
  assert pickle.loads(pickle.dumps(filter)) == filter and filter.name in ('parses', 'runs')
