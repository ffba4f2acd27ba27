"""Verdicts of a judge behind an endpoint: counts, failures, the cache, the budget, and what it may not show."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from codemix.errors import UserError
from codemix.evaluation.judge.endpoint import Endpoint
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.judge.prompt import question, verdict
from codemix.evaluation.judge.verdicts import Cache, Pair, Verdict, judge_pairs
from codemix.evaluation.judge.win_rate import win_rates
from tests.evaluation.judge.server import judge_server

KEY = 'sk-secret-0123456789'
GOOD, BAD = 'a good answer', 'a bad answer'
PAIRS = [Pair(str(n), f'instruction {n}', f'{GOOD} {n}', f'{BAD} {n}') for n in range(12)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
  monkeypatch.setenv('OPENAI_API_KEY', KEY)


def good_wins(first: str, second: str) -> str:
  return 'A' if first.startswith(GOOD) else 'B'


def judge_at(server, **settings) -> Judge:
  return Judge(model='judge', url=server.url, wait_s=0.01, **settings)


def run(judge: Judge, cache: Cache, pairs=PAIRS):
  endpoint = Endpoint(judge)
  return judge_pairs(pairs, endpoint.ask, judge.identity(), cache, judge.jobs), endpoint


def test_each_pair_is_asked_in_both_orders(tmp_path):
  with judge_server(good_wins) as server:
    judged, endpoint = run(judge_at(server), Cache(tmp_path / 'answers.jsonl'))
    assert server.requests == endpoint.sent == judged.asked == 2 * len(PAIRS)
  assert {v.orders for v in judged.verdicts} == {('first', 'first')}
  assert endpoint.models == {'judge-2026-01'}


@pytest.mark.parametrize('fault', [429, 500, 503, 'garbage', 'broken json', 'other json', 'cut', 'slow'])
def test_faults_that_pass_change_no_verdict(fault, tmp_path):
  with judge_server(good_wins) as server:
    server.faults = [fault, None, fault, fault]
    judged, endpoint = run(judge_at(server, timeout_s=0.4), Cache(tmp_path / 'answers.jsonl'), PAIRS[:4])
    assert server.requests == endpoint.sent == 8 + 3
  assert {v.orders for v in judged.verdicts} == {('first', 'first')} and not judged.failures


def test_a_question_that_is_never_answered_is_counted_and_asked_again_next_time(tmp_path):
  path = tmp_path / 'answers.jsonl'
  with judge_server(good_wins) as server:
    server.faults = [500] * 3
    judged, _ = run(judge_at(server, retries=2, jobs=1), Cache(path), PAIRS[:2])
    assert [v.orders for v in judged.verdicts] == [('unparsed', 'first'), ('first', 'first')]
    assert len(judged.failures) == 1 and KEY not in judged.failures[0]
    rates = win_rates(judged.verdicts, [1, 1], [1, 1])
    assert (rates['judged'], rates['unparsed'], rates['win']) == (1, 1, 1.0)
    judged, _ = run(judge_at(server, jobs=1), Cache(path), PAIRS[:2])
    assert (judged.asked, judged.cached) == (1, 3)
  assert {v.orders for v in judged.verdicts} == {('first', 'first')}


def test_what_was_answered_is_not_asked_again(tmp_path):
  path = tmp_path / 'answers.jsonl'
  with judge_server(good_wins) as server:
    first, _ = run(judge_at(server), Cache(path))
    with path.open('a') as file:
      file.write('{"key": "broken off')  # as a kill leaves it
    second, endpoint = run(judge_at(server), Cache(path))
    assert endpoint.sent == second.asked == 0 and second.cached == 2 * len(PAIRS)
    assert second.verdicts == first.verdicts
    changed = [dataclasses.replace(PAIRS[0], first='another answer')]
    judged, _ = run(judge_at(server), Cache(path), changed)
    assert judged.asked == 2
    _, endpoint = run(judge_at(server, temperature=0.5), Cache(path), PAIRS[:1])
    assert endpoint.sent == 2


def test_a_damaged_line_is_named(tmp_path):
  path = tmp_path / 'answers.jsonl'
  path.write_text('{"key": 1}\n')
  with pytest.raises(UserError, match=r'answers\.jsonl:1 is damaged'):
    Cache(path)


@pytest.mark.parametrize('jobs', [1, 8])
def test_no_more_requests_are_sent_than_the_budget_allows(jobs, tmp_path):
  path = tmp_path / 'answers.jsonl'
  with judge_server(good_wins) as server:
    server.faults = [500, 500]
    judged, endpoint = run(judge_at(server, budget=9, jobs=jobs), Cache(path))
    assert server.requests == endpoint.sent == 9
    rates = win_rates(judged.verdicts, [1] * 12, [1] * 12)
    assert rates['not_asked'] == 24 - 7
    judged, _ = run(judge_at(server), Cache(path))
  assert win_rates(judged.verdicts, [1] * 12, [1] * 12)['judged'] == 12


def test_the_key_is_sent_and_neither_kept_nor_shown(tmp_path, capfd, caplog):
  caplog.set_level(logging.DEBUG)  # as with --verbose
  with judge_server(good_wins) as server:
    server.faults = [401]
    with pytest.raises(UserError, match='refused the request') as error:
      run(judge_at(server, jobs=1), Cache(tmp_path / 'answers.jsonl'))
    run(judge_at(server), Cache(tmp_path / 'answers.jsonl'))
    assert server.keys == {f'Bearer {KEY}'}
  shown = capfd.readouterr()
  written = ''.join(path.read_text() for path in tmp_path.rglob('*') if path.is_file())
  assert KEY not in f'{error.value}{shown.out}{shown.err}{written}{caplog.text}' and caplog.text
  assert KEY not in repr(Judge(model='judge')) and KEY not in str(Judge(model='judge').identity())


def test_a_missing_key_is_named(monkeypatch):
  monkeypatch.delenv('OPENAI_API_KEY')
  with pytest.raises(UserError, match='OPENAI_API_KEY'):
    Endpoint(Judge(model='judge'))


def test_a_server_that_has_never_answered_ends_the_run(tmp_path):
  judge = Judge(model='judge', url='http://127.0.0.1:9/v1', wait_s=0.01, retries=1, jobs=2)
  with pytest.raises(UserError, match=r'http://127\.0\.0\.1:9/v1/? does not answer .* check the URL'):
    run(judge, Cache(tmp_path / 'answers.jsonl'))


def test_equal_answers_are_a_tie_without_asking(tmp_path):
  with judge_server(good_wins) as server:
    judged, _ = run(judge_at(server), Cache(tmp_path / 'answers.jsonl'), [Pair('0', 'i', 'same', 'same')])
    assert server.requests == 0
  assert judged.verdicts == [Verdict(('tie', 'tie'))]


@pytest.mark.parametrize('settings', [{}, {'model': 'x', 'checkpoint': 'y'}, {'model': 'x', 'url': 'nonsense'}])
def test_a_judge_is_a_model_or_a_checkpoint(settings):
  with pytest.raises(UserError, match='Judge'):
    Judge(**settings)


def test_the_last_preference_on_a_line_of_its_own_counts():
  assert verdict('B is long.\nPreferred: A') == 'A'
  assert verdict('Preferred: A\nno, wait\n**Preferred: B**') == 'B'
  assert verdict('preferred: tie.') == verdict('Preferred: a tie') == 'tie'
  assert verdict('Preferred: A or B') is verdict('Preferred: A/B') is None
  assert verdict('Preferred: B. And A is wrong.') == 'B'
  assert verdict('I would say that B is the preferred: one') is None
  assert verdict('') is None


def test_texts_with_braces_reach_the_judge_as_they_are():
  asked = question('{first}', '{second} {x}', '{instruction}')
  assert '[Instruction]\n{first}\n' in asked and '{second} {x}' in asked and '[Answer B]\n{instruction}\n' in asked
