"""Claims of a study: what is refused when it is built, and what their hashes cover."""

from __future__ import annotations

import dataclasses

import pytest

import codemix
from codemix.errors import UserError
from codemix.studies.claim_comparison import compare
from codemix.studies.claim_metric import BITS, POINTS, metric_of
from codemix.studies.claim_record import claim_records
from codemix.studies.preflight import open_study
from codemix.studies.recipe import Study
from codemix.studies.units import units
from tests import tiny_study

TEXT = tiny_study.stage('text_only', {'text': 1.0}, 3)
MIXED = tiny_study.stage('mixed', {'text': 0.5, 'code': 0.5}, 3)
MORE = tiny_study.stage('more_code', {'text': 0.2, 'code': 0.8}, 3)
END = tiny_study.cooldown({'text': 1.0}, 3)
LOWER = codemix.Claim('mixed', 'code', 'lower')
HELD_OUT = codemix.Claim('mixed', 'held_out/code', 'lower')  # 'code' is a group of benchmarks too


def study(claims: dict[str, codemix.Claim], seeds: int = 2, **settings) -> Study:
  """Text alone, the baseline, against two mixtures, with so many seeds each."""
  stages = {'text': (TEXT, END), 'mixed': (MIXED, END), 'more': (MORE, END)}
  recipes = {f'{name}, seed {seed}': tiny_study.recipe(*of, seed=seed) for name, of in stages.items() for seed in range(seeds)}
  return Study('claims', **{'recipes': recipes, 'validation': ('text', 'code'), **settings}, claims=claims)


@pytest.mark.parametrize(
  ('claims', 'says'),
  [
    ({'a': codemix.Claim('mixde', 'code', 'lower')}, "the claim 'a' of Study.claims: Claim.arm is 'mixde', which is not a recipe or an arm of the study (text, mixed, more). Did you mean 'mixed'?"),
    ({'a': codemix.Claim('mixed', 'code', 'lower', against='txet')}, "Claim.against is 'txet', which is not a recipe or an arm of the study (text, mixed, more). Did you mean 'text'?"),
    ({'a': codemix.Claim('mixed', 'cod', 'lower')}, "nobody measures 'cod': the stages are scored on text, code. Did you mean 'code'?"),
    ({'a': codemix.Claim('mixed', 'piqa', 'higher')}, "nobody measures 'piqa'"),
    ({'a': codemix.Claim('mixed', 'nl_reasoning', 'higher')}, "nobody measures 'nl_reasoning': Study.evaluate lacks boolq, piqa"),
    ({'a': codemix.Claim('mixed', 'Total', 'higher')}, "nobody measures 'Total': Study.evaluate lacks boolq"),
    ({'a': codemix.Claim('text', 'code', 'lower')}, "compares 'text' with the baseline 'text, seed 0', which is the same arm"),
    ({'a': codemix.Claim('mixed, seed 1', 'code', 'lower', against='mixed, seed 0')}, 'which is the same arm'),
    ({'a': codemix.Claim('mixed', 'code', 'lower', stage='cooldwn')}, "Claim.stage is 'cooldwn', which 'mixed' does not have (mixed, cooldown). Did you mean 'cooldown'?"),
    ({'a': codemix.Claim('mixed', 'code', 'lower', stage='mixed')}, "which 'text' does not have (text_only, cooldown)"),
    ({'a': codemix.Claim('mixed', 'code', 'lower', stage=3)}, "Claim.stage is 3, and 'mixed' has 2 stages"),
    ({'a': LOWER, 'b': dataclasses.replace(LOWER, sentence='In other words.')}, "the claims 'a' and 'b' of Study.claims say the same"),
    ({'a': LOWER, 'b': codemix.Claim('text', 'code', 'higher', against='mixed')}, 'say the same'),
    ({'a': LOWER, 'b': HELD_OUT}, 'say the same'),
    ({'a': LOWER, 'b': codemix.Claim('mixed, seed 1', 'code', 'lower', stage=2)}, 'say the same'),
  ],
)  # fmt: skip
def test_a_claim_about_what_does_not_exist_is_refused_when_the_study_is_built(claims, says):
  with pytest.raises(UserError) as refused:
    study(claims)
  assert says in str(refused.value)


@pytest.mark.parametrize(
  ('settings', 'says'),
  [
    ({'expected': 'beter'}, 'Claim.expected is .beter.; it is one of higher, lower, equal'),
    ({'margin': -0.5}, r'Claim.margin is -0.5; it is a number, at least 0'),
    ({'expected': 'equal'}, "Claim.margin is 0 in the claim that 'mixed' is equal on 'code', which no run can show"),
    ({'stage': 0}, 'Claim.stage is 0'),
    ({'metric': ''}, 'Claim.metric'),
  ],
)  # fmt: skip
def test_a_claim_with_a_wrong_direction_or_margin_is_refused(settings, says):
  with pytest.raises(UserError, match=says):
    codemix.Claim(**{'arm': 'mixed', 'metric': 'code', 'expected': 'lower', **settings})


def test_other_margins_metrics_stages_and_arms_are_other_claims():
  claims = {
    'a': LOWER, 'margin': codemix.Claim('mixed', 'code', 'lower', margin=0.1), 'metric': codemix.Claim('mixed', 'text', 'lower'),
    'stage': codemix.Claim('mixed', 'code', 'lower', stage=1), 'arm': codemix.Claim('more', 'code', 'lower'),
    'against': codemix.Claim('more', 'code', 'lower', against='mixed'), 'equal': codemix.Claim('mixed', 'code', 'equal', margin=0.1),
  }  # fmt: skip
  found = compare(study(claims))
  assert found['stage'].own.stage == 0 and found['a'].own.stage == 1
  assert found['against'].base.arm.recipes == ('mixed, seed 0', 'mixed, seed 1')


def test_metrics_are_sources_benchmarks_and_groups_of_which_all_benchmarks_are_evaluated():
  of = study({}, evaluate=('code', 'piqa', 'knowledge', 'wikitext'))
  assert metric_of(of, 'text').unit == BITS and metric_of(of, 'text').weights == {'held_out/text': 1.0}
  assert metric_of(of, 'piqa').unit == POINTS and metric_of(of, 'tasks/piqa') == metric_of(of, 'piqa')
  assert metric_of(of, 'knowledge').weights == {'tasks/triviaqa': 0.5, 'tasks/nq_open': 0.5}
  assert metric_of(of, 'piqa/gold_bits_per_byte').unit == BITS and metric_of(of, 'wikitext').unit == BITS
  with pytest.raises(UserError, match="'code' is a source and a benchmark: write 'held_out/code' or 'tasks/code'"):
    metric_of(of, 'code')
  assert metric_of(of, 'tasks/code').weights == {'tasks/humaneval': 0.5, 'tasks/mbpp': 0.5}
  with pytest.raises(UserError, match="'dolly' has no score of its own"):
    metric_of(study({}, evaluate=('dolly',)), 'dolly')
  whole = metric_of(study({}, evaluate=('nl_reasoning', 'knowledge')), 'NL Avg')
  assert sum(whole.weights.values()) == pytest.approx(1.0) and whole.weights['tasks/nq_open'] == 0.25


# What is registered.


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


def records(of: Study, data: codemix.Data) -> dict[str, dict]:
  return claim_records(open_study(of, data), 'nowhere')


def test_the_hash_of_a_claim_is_that_of_what_it_says_and_of_what_its_words_mean(data):
  own = records(study({'a': LOWER}), data)['a']
  same = lambda of: records(of, data)['a']['hash'] == own['hash']
  assert same(study({'a': LOWER})) and same(study({'a': LOWER}, note='other')) and same(study({'a': LOWER}, seeds=3)) and same(study({'a': LOWER}, seeds=1))
  assert not same(study({'a': dataclasses.replace(LOWER, sentence='It falls.')}))
  assert not same(study({'a': dataclasses.replace(LOWER, margin=0.01)}))
  assert not same(study({'a': LOWER}, validation_documents=2)), 'other documents'
  assert not same(study({'a': LOWER}, baseline='more, seed 0')), 'another baseline'
  swapped = {'text, seed 0': 'text, seed 0', 'mixed, seed 0': 'more, seed 0', 'more, seed 0': 'mixed, seed 0'}
  whole = study({'a': LOWER}, seeds=1).recipes
  assert not same(study({'a': LOWER}, recipes={name: whole[of] for name, of in swapped.items()})), 'recipes that swap their names'
  later = {name: dataclasses.replace(of, stages=(*of.stages, tiny_study.stage('more', {'text': 1.0}, 3))) for name, of in whole.items()}
  first = {'a': dataclasses.replace(LOWER, stage=1)}
  assert records(study(first), data)['a']['hash'] == records(study(first, recipes=later), data)['a']['hash'], 'stages behind the compared one do not count'


def test_arms_are_not_compared_after_a_stage_that_they_share(data):
  shared = {'text': tiny_study.recipe(TEXT, END), 'mixed': tiny_study.recipe(TEXT, MIXED)}
  with pytest.raises(UserError, match="the claim 'a' of Study.claims compares two arms after a stage that they share .text_only-"):
    records(study({'a': codemix.Claim('mixed', 'code', 'lower', stage=1)}, recipes=shared), data)


def test_claims_do_not_enter_the_identity_of_stages_nor_the_units_of_work(data):
  with_claims, without = (open_study(study(claims), data).plan for claims in ({'a': LOWER}, {}))
  assert [stage.hash for stage in with_claims.stages()] == [stage.hash for stage in without.stages()]
  assert [(unit.key, unit.needs) for unit in units(with_claims)] == [(unit.key, unit.needs) for unit in units(without)]
