"""Faults at random moments of runs of two processes, on a disk and in a bucket, lose nothing (`python -m tests.faults.campaign`)."""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.faults.campaign.campaign import Tally, inject
from tests.faults.campaign.faults import FAULTS, IN_A_HANDOFF, IN_A_SAVE, IN_AN_EVALUATION, SEALED
from tests.faults.campaign.run import BUCKET, DISK, place
from tests.faults.interrupt import owner_of

TIMES, SHORT = 2, 8  # injections of each fault; steps of the short runs in CI


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  """Opens each place when it is first asked for, and closes it at the end."""
  opened = {}
  with contextlib.ExitStack() as stack:
    yield lambda kind: opened.get(kind) or opened.setdefault(kind, stack.enter_context(place(kind, tmp_path_factory.mktemp(kind))))


def check(tally: Tally) -> None:
  assert (tally.problems, tally.lost) == ([], 0)
  assert tally.injected and tally.detected == tally.injected == tally.recovered


@pytest.mark.parametrize('function', sorted({function for function, _, _ in (*IN_A_SAVE, *IN_A_HANDOFF, *IN_AN_EVALUATION)}))
def test_what_a_process_is_killed_at_is_a_function_of_codemix(function):
  for sealed in SEALED.values():
    owner, name = owner_of(function.format(path=sealed))
    assert callable(getattr(owner, name))


def test_a_run_in_a_bucket_that_is_killed_in_a_save_ends_as_if_nothing_had_been(tmp_path):
  with place(BUCKET, tmp_path, SHORT, compile_first=False) as found:
    check(inject(found, 'kill -9 in a save', 1, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'fault'), [(kind, fault) for kind in (DISK, BUCKET) for fault, (_, kinds) in FAULTS.items() if kind in kinds])
def test_what_a_fault_interrupts_ends_as_if_nothing_had_been(kind, fault, places):
  if fault == 'full disk for a while' and os.geteuid():
    pytest.skip('only root may mount the small file system that is filled')
  check(inject(places(kind), fault, TIMES, seed=0))
