"""The benchmark of scoring counts the tokens of the requests, and compares the same weights."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from codemix.benchmarks import released_sets, scoring
from codemix.errors import UserError

SMALL = dataclasses.replace(scoring.MODEL, layers=1, width=16, ffn_width=16, heads=2, head_dim=8)
SIZE = scoring.Size(items=3, length=256, batch=1, turns=2)


@pytest.fixture
def no_data(monkeypatch, tmp_path):
  monkeypatch.setattr(released_sets, 'SHARED', tmp_path / 'absent')
  monkeypatch.delenv('CODEMIX_EVAL_DIR', raising=False)


def test_without_the_peer_there_are_figures_of_codemix_alone(tmp_path, no_data, monkeypatch):
  monkeypatch.setattr(scoring, 'PEER', tmp_path / 'nowhere')
  figures = {figure.name: figure for figure in scoring.measure(tmp_path, SIZE, SMALL)}
  assert list(figures) == ['requests', 'tokens of a request', 'codemix', 'codemix: the first run, with compilation']
  assert figures['requests'].value == 12
  assert figures['codemix'].value > figures['codemix: the first run, with compilation'].value > 0


def test_what_the_peer_answers_is_compared_and_its_errors_are_shown(tmp_path, no_data, monkeypatch):
  peer = tmp_path / 'peer'
  peer.write_text(
    f'#!{sys.executable}\n'
    'import json, sys\n'
    'for line in sys.stdin:\n'
    '  start, stop = map(int, line.split())\n'
    '  print(1e6 * (stop - start), flush=True)\n'
    'json.dump([[-1.0, False]] * 12, open(sys.argv[5], "w"))\n'
  )
  peer.chmod(0o755)
  monkeypatch.setattr(scoring, 'PEER', peer)
  figures = {figure.name: figure for figure in scoring.measure(tmp_path, SIZE, SMALL)}
  assert figures['hf'].value == pytest.approx(12 * figures['tokens of a request'].value / 12e6)
  assert figures['times as fast as hf'].value == pytest.approx(figures['codemix'].value / figures['hf'].value)
  assert not figures['largest difference of a log-likelihood'].reached
  (tmp_path / 'exported' / 'config.json').unlink()
  peer.write_text(f'#!{sys.executable}\nraise ValueError("no memory")\n')
  (other := tmp_path / 'other').mkdir()
  with pytest.raises(UserError, match='no memory'):
    list(scoring.measure(other, SIZE, SMALL))


@pytest.mark.parametrize(('requests', 'turns'), [(12, 2), (4000, 4), (8, 5), (4, 1)])
def test_the_parts_hold_each_request_once_and_whole_items(requests, turns):
  parts = scoring.parts(requests, turns)
  assert [number for start, stop in parts for number in range(start, stop)] == list(range(requests))
  assert all(start % 4 == 0 for start, _ in parts) and len(parts) <= turns


def test_the_real_requests_are_four_continuations_of_a_thousand_items(shared_data):
  pairs = scoring.request_pairs()
  assert len(pairs) == 4000
  assert len({context for context, _ in pairs}) <= 1000
  assert 50 < np.mean([len((context + continuation).split()) for context, continuation in pairs]) < 90
