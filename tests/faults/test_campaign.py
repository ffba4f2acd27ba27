"""Faults at random moments of runs of two processes, on a disk and in a bucket, lose nothing (`python -m tests.faults.campaign`)."""

from __future__ import annotations

import os

import pytest

from tests.faults.campaign.campaign import inject
from tests.faults.campaign.faults import FAULTS
from tests.faults.campaign.run import BUCKET, DISK, place

IN_CI = {(BUCKET, 'kill -9 in a save'), (BUCKET, 'flipped bit of a checkpoint')}


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  """Opens each place once, when it is first asked for."""
  opened = {}

  def open_once(kind: str):
    if kind not in opened:
      context = place(kind, tmp_path_factory.mktemp(kind))
      opened[kind] = context.__enter__(), context
    return opened[kind][0]

  yield open_once
  for _, context in opened.values():
    context.__exit__(None, None, None)


@pytest.mark.parametrize(
  ('kind', 'fault'),
  [
    pytest.param(kind, fault, marks=() if (kind, fault) in IN_CI else pytest.mark.slow)
    for kind in (DISK, BUCKET)
    for fault, (_, kinds) in FAULTS.items()
    if kind in kinds
  ],
)
def test_what_a_fault_interrupts_ends_as_if_nothing_had_been(kind, fault, places):
  if fault == 'full disk for a while' and os.geteuid():
    pytest.skip('only root may mount the small file system that is filled')
  tally = inject(places(kind), fault, 1 if (kind, fault) in IN_CI else 2, seed=0)
  assert (tally.problems, tally.lost) == ([], 0)
  assert tally.injected and tally.detected == tally.injected == tally.recovered
