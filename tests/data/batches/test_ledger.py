"""The ledger: a stage that read something else than was planned is not done, and entries are chained."""

from __future__ import annotations

import pytest

from codemix.data.batches import ledger
from codemix.data.batches.source_use import SourceUse
from codemix.errors import CodemixError

USES = [
  SourceUse('short', 0.5, 10, 160, 10, 0, documents=7),
  SourceUse('long', 0.5, 10, 160, 10, 0, documents=2),
  SourceUse('streamed', 0.0, 0, 0, 0, 0),
]


def realised() -> dict[str, dict[str, int]]:
  return {use.source: {key: getattr(use, key) or 0 for key in ledger.COUNTED} for use in USES}


@pytest.mark.parametrize('key', ledger.COUNTED)
def test_a_stage_that_read_something_else_is_not_called_done(key):
  counted = realised()
  counted['streamed']['documents'] = 3  # which was not planned
  ledger.compare(USES, counted, 'here')
  counted['long'][key] += 1
  with pytest.raises(CodemixError, match=f"here: the ledger does not agree for 'long'.*{key}"):
    ledger.compare(USES, counted, 'here')


def test_an_entry_is_chained_to_its_parents():
  hashes = {ledger.entry('stage', USES, realised(), parent)['hash'] for parent in (None, 'a', 'b')}
  assert len(hashes) == 3
  assert ledger.entry('stage', USES, realised(), 'a')['hash'] in hashes


def test_shares_that_come_to_the_same_rows_are_those_of_the_other_recipe():
  written = [{'source': 'short', 'share': 0.51}, {'source': 'long', 'share': 0.9}]
  assert [use.share for use in ledger.with_shares_of(USES, written)] == [0.51, 0.5, 0.0]
