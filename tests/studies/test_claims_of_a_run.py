"""Claims of studies that are trained: registered before the first step, kept through edits, and safe from tampering."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.errors import UserError
from codemix.report.claims import judge_claims
from codemix.report.comparison import measures_by_source
from codemix.report.results import read_study
from codemix.report.suite import gather_suite
from codemix.report.write import write_report
from codemix.storage import read_json
from codemix.studies.claim_register import read_chain
from codemix.studies.recipe import Study
from codemix.training import loop
from tests import tiny_study
from tests.in_process import use_one_device

pytestmark = pytest.mark.usefixtures('one_device')

LOWER = codemix.Claim('mixed', 'code', 'lower', sentence='Code lowers the loss on code.')
CLAIMS = {'on code': LOWER, 'on text': codemix.Claim('mixed', 'text', 'equal', margin=0.01)}


class Stopped(Exception):
  """Ends a run, as a person who looks at its results would."""


def study(claims: dict[str, codemix.Claim], seeds: int = 1) -> Study:
  mixtures = {'text': {'text': 1.0}, 'mixed': {'text': 0.5, 'code': 0.5}}
  recipes = {f'{name}, seed {seed}': tiny_study.recipe(tiny_study.stage(name, mixture, 3), seed=seed) for name, mixture in mixtures.items() for seed in range(seeds)}
  return dataclasses.replace(tiny_study.study(**recipes), validation=('text', 'code'), prompts=(), claims=claims)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory) -> Path:
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return codemix.run_study(study(CLAIMS), data, tiny_study.runtime(tmp_path_factory.mktemp('finished')))


@pytest.fixture
def run(finished, tmp_path) -> Path:
  return Path(shutil.copytree(finished, tmp_path / 'run'))


@pytest.fixture
def trained(monkeypatch) -> list[str]:
  """The stages that are trained, in order."""
  names, write_result = [], loop.write_result

  def counting(folder, plan, *rest):
    names.append(plan.name)
    return write_result(folder, plan, *rest)

  monkeypatch.setattr(loop, 'write_result', counting)
  return names


def verdicts(output: Path) -> dict[str, tuple[str, str]]:
  of = read_study(output)
  return {claim.name: (claim.status, claim.verdict) for claim in judge_claims(of, measures_by_source(of), gather_suite(of))}


def error_of(capfd, *words: object) -> str:
  """The one line with which a command refuses."""
  capfd.readouterr()
  assert cli.main([*map(str, words)]) == 2
  [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith('codemix ')]
  return line


def test_claims_are_registered_before_the_first_step_and_verified(finished, capfd):
  [registration] = read_chain(finished)
  assert registration['begun'] == {} and list(registration['claims']) == ['on code', 'on text']
  assert read_json(finished / 'study.json')['claims'] == registration['digest']
  assert registration['claims']['on code']['own'] == {'0': read_json(finished / 'study.json')['recipes']['mixed, seed 0']['stages'][0]}
  assert {status for status, _ in verdicts(finished).values()} == {'before the run'}
  assert cli.main(['verify', str(finished)]) == 0
  assert f'{finished}: 2 claims in 1 registration, as written' in capfd.readouterr().out


def test_a_claim_that_is_added_trains_nothing_again_and_is_exploratory(run, data, trained, capfd):
  codemix.run_study(study({**CLAIMS, 'late': codemix.Claim('mixed', 'code', 'lower', margin=0.1)}), data, tiny_study.runtime(run))
  assert not trained
  assert "the claim 'late' is exploratory: " in capfd.readouterr().err
  assert {name: status for name, (status, _) in verdicts(run).items()} == {'on code': 'before the run', 'on text': 'before the run', 'late': 'exploratory'}


def test_more_seeds_keep_the_date_of_a_claim(run, data, trained):
  codemix.run_study(study(CLAIMS, seeds=2), data, tiny_study.runtime(run))
  assert trained == ['text', 'mixed']
  assert {status for status, _ in verdicts(run).values()} == {'before the run'}


def test_a_study_that_is_edited_while_it_runs_keeps_the_claims_with_which_it_began(data, tmp_path, monkeypatch):
  runtime = tiny_study.runtime(tmp_path / 'run')
  write_result = loop.write_result

  def stopping(folder, plan, *rest):
    write_result(folder, plan, *rest)
    if plan.name == 'mixed':
      raise Stopped

  monkeypatch.setattr(loop, 'write_result', stopping)
  with pytest.raises(Stopped):
    codemix.run_study(study(CLAIMS), data, runtime)
  monkeypatch.setattr(loop, 'write_result', write_result)
  edited = {**CLAIMS, 'on code': dataclasses.replace(LOWER, expected='higher')}
  codemix.run_study(study(edited), data, runtime)
  of = read_study(tmp_path / 'run')
  states = [(claim.name, claim.said['expected'], claim.status) for claim in judge_claims(of, measures_by_source(of), gather_suite(of))]
  assert states == [('on text', 'equal', 'before the run'), ('on code', 'higher', 'exploratory'), ('on code', 'lower', 'withdrawn')]


def test_a_study_that_is_edited_and_begun_while_it_runs_ends_with_a_record_of_its_own(data, tmp_path, monkeypatch, capfd):
  runtime = tiny_study.runtime(tmp_path / 'run')
  write_result = loop.write_result
  other = tiny_study.study(another=tiny_study.recipe(tiny_study.stage('other', {'text': 1.0}, 4)))

  def beginning_another(folder, plan, *rest):
    write_result(folder, plan, *rest)
    if plan.name == 'mixed':
      monkeypatch.setattr(loop, 'write_result', write_result)
      codemix.run_study(other, data, runtime)
      write_report(tmp_path / 'run')
      assert list(read_study(tmp_path / 'run').recipes) == ['another']

  monkeypatch.setattr(loop, 'write_result', beginning_another)
  codemix.run_study(study(CLAIMS), data, runtime)
  assert list(read_study(tmp_path / 'run').recipes) == list(study(CLAIMS).recipes)
  assert 'began in' in capfd.readouterr().err
  [kept] = (tmp_path / 'run' / 'former').glob('*/report.html')
  assert 'another' in kept.read_text()


def test_an_altered_score_is_found_and_named(run, data, capfd):
  folder = next(run.glob('stages/mixed-*'))
  path = folder / 'evaluation' / 'held_out' / 'code.json'
  value = json.loads(path.read_text())
  value['scores']['bits_per_byte'] *= 0.9
  path.write_text(json.dumps(value))
  assert f'{path} was changed after it was written' in error_of(capfd, 'verify', run)
  assert f'{path} was changed after it was written' in error_of(capfd, 'report', f'--output={run}')
  with pytest.raises(UserError, match='code.json was changed'):
    codemix.run_study(study(CLAIMS), data, tiny_study.runtime(run))


def test_an_altered_claim_is_found_and_named_and_no_study_begins_on_it(run, data, capfd, trained):
  path = run / 'claims.json'
  value = json.loads(path.read_text())
  value['registrations'][0]['claims']['on code']['claim']['arguments']['margin'] = 0.5
  path.write_text(json.dumps(value))
  for words in (('verify', run), ('report', f'--output={run}')):
    assert f"{path}: the claim 'on code' was changed after it was registered on 20" in error_of(capfd, *words)
  with pytest.raises(UserError, match="the claim 'on code' was changed"):
    codemix.run_study(study(CLAIMS, seeds=2), data, tiny_study.runtime(run))
  assert not trained
  path.unlink()
  for words in (('verify', run), ('report', f'--output={run}')):
    assert f'{path} lacks the registration' in error_of(capfd, *words)
