"""The paper's effects against the noise of seeds."""

from __future__ import annotations

import json
import math

import pytest

from codemix import cli
from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components
from codemix.planner.group_noise import group_noise, stated_tasks
from codemix.planner.published_effects import PUBLISHED_EFFECTS, WIN_RATE, published_power
from codemix.published.win_rates import WIN_RATES

NOISE = {'piqa': Components(seed=0.35), 'sciq-5shot': Components(seed=0.7), 'humaneval': Components(seed=0.43), 'lambada': Components(seed=9.0)}


def test_the_noise_of_a_mean_is_that_of_as_many_independent_tasks():
  assert stated_tasks(NOISE, 'nl_reasoning') == ['piqa', 'sciq']
  assert group_noise(NOISE, 'nl_reasoning').seed == pytest.approx(math.sqrt((0.35**2 + 0.7**2) / 2 / 11))
  every = {task: Components(seed=2.0) for task in GROUPS['code'].tasks}
  assert group_noise(every, 'code').seed == pytest.approx(2 / math.sqrt(2))
  assert group_noise(NOISE, 'knowledge') is None


def test_effects_are_the_differences_of_printed_scores():
  found = {(effect.arm, effect.baseline, effect.group): (effect.points, effect.source) for effect in PUBLISHED_EFFECTS}
  assert len(found) == len(PUBLISHED_EFFECTS) == 56
  assert found['balanced→text', 'text-only', 'nl_reasoning'] == (4.0, 'Table 2')
  assert found['balanced→text, cooled down', 'text-only, cooled down', 'knowledge'] == (-0.2, 'Table 2')
  assert found['code→text, 2.8B', 'code→text, 470M', 'knowledge'] == (16.1, 'Figure 3')
  assert found['90% code', '0% code', 'nl_reasoning'] == (-3.98, 'Figure 4')
  assert found['100% code', '25% code', 'code'] == (6.54, 'Figure 4')
  assert found['code+synthetic', 'code+markup', 'nl_reasoning'] == (3.7, 'Figure 5')
  assert found['balanced→text, cooled down', 'balanced→text', 'nl_reasoning'] == (1.9, 'Figure 6')
  assert found['balanced→text, cooled down without code', 'balanced→text', 'nl_reasoning'] == (-0.1, 'Figure 6')
  assert found['balanced→text, cooled down', 'balanced→text, cooled down without code', 'knowledge'] == (0.7, 'Figure 6')


def test_the_noise_of_a_mean_has_the_choice_of_items_of_every_task():
  alike = {task: Components(seed=2.0, items=101, arm_item=30.0, residual=20.0, sampling=10.0) for task in GROUPS['code'].tasks}
  found = group_noise(alike, 'code')
  one = next(iter(alike.values()))
  for samples in (1, 4):
    assert found.figure_variance(samples) == pytest.approx(one.figure_variance(samples) / 2)
  assert found.item_variance == pytest.approx(one.item_variance / 2) and found.items - 1 == 2 * 100


def test_every_point_of_the_sweep_every_size_and_every_cooldown_is_there():
  arms = {(effect.source, effect.arm, effect.group) for effect in PUBLISHED_EFFECTS}
  groups = ('nl_reasoning', 'knowledge', 'code')
  assert {('Figure 4', f'{share}% code', group) for share in (25, 50, 75, 90, 100) for group in groups} <= arms
  assert {('Figure 3', f'{arm}, 2.8B', group) for arm in ('balanced-only', 'balanced→text', 'code→text') for group in groups} <= arms
  assert {('Figure 6', 'balanced→text, cooled down', group) for group in groups} <= arms


def test_a_win_rate_is_the_wins_and_half_of_the_ties_less_a_half_and_its_noise_is_unknown():
  found = {(effect.arm, effect.baseline, effect.source): effect.points for effect in PUBLISHED_EFFECTS if effect.group == WIN_RATE}
  # The printed percentages are rounded, so their sum may be 99.9 or 100.1.
  assert found == {
    (pair.second.label, pair.first.label, pair.source): pytest.approx(pair.second_wins + pair.tie / 2 - 50, abs=0.11) for pair in WIN_RATES
  }
  assert found['balanced→text, cooled down', 'balanced→text', 'Figure 7'] == 16.85 and found['balanced-only, cooled down', 'text-only, cooled down', 'Figure 8'] == -1.5
  assert all(of is None for effect, of in published_power(NOISE, 3, 0.8) if effect.group == WIN_RATE)


def test_one_run_resolves_no_effect_and_more_seeds_resolve_no_fewer():
  resolved = [{effect for effect, found in published_power(NOISE, seeds, 0.8) if found and found.is_resolved} for seeds in (1, 3, 5, 10)]
  assert not resolved[0] and resolved[1] <= resolved[2] <= resolved[3] and len(resolved[3]) > len(resolved[1])


def test_effects_without_noise_are_listed_as_unknown():
  found = published_power(NOISE, 3, 0.8)
  assert [effect for effect, _ in found] == list(PUBLISHED_EFFECTS)
  assert {effect.group for effect, of in found if of is None} == {'knowledge', WIN_RATE}
  # Corrected for those alone that can be judged.
  assert {of.design.comparisons for _, of in found if of} == {sum(effect.group not in ('knowledge', WIN_RATE) for effect in PUBLISHED_EFFECTS)}


FLAGS = ('plan', '--power', '--gin_file=studies/initialization.gin', '--gin_file=evaluations/seed_noise.gin', '--gin.Study.seeds=(0, 1, 2)')


def test_the_command_shows_them_for_models_of_the_papers_size_only(capsys):
  assert cli.main([*FLAGS, '--gin_file=scales/470m.gin', '--format=json']) == 0
  plan = json.loads(capsys.readouterr().out)
  assert len(plan['published']) == len(PUBLISHED_EFFECTS) and {each['seeds'] for each in plan['published']} == {3}
  assert cli.main([*FLAGS, '--gin_file=scales/470m.gin']) == 0
  out = capsys.readouterr().out
  assert 'the effects that the paper reports' in out and 'noise unknown' in out and 'Reason.: the noise of 6 of 11 tasks is known' in out
  for others in ((), ('--gin_file=scales/2b8.gin',)):
    assert cli.main([*FLAGS, *others, '--format=json']) == 0
    assert not json.loads(capsys.readouterr().out)['published']


@pytest.mark.parametrize('more', [(), ('--power', '--gin_file=evaluations/seed_noise.gin')], ids=['costs', 'power'])
def test_names_with_brackets_are_shown_as_they_are(more, capsys, tmp_path):
  study = tmp_path / 'brackets.gin'
  study.write_text("Study.name = 'c [x]'\nStudy.baseline = '0% [text]'\nStudy.recipes = {'0% [text]': @text_only/Recipe(), 'b [/b]': @code_to_text/Recipe()}\n")
  assert cli.main(['plan', *more, '--gin_file=studies/initialization.gin', f'--gin_file={study}', '--gin.Study.seeds=(0, 1, 2)']) == 0
  out = capsys.readouterr().out
  assert 'c [x]' in out and 'b [/b]' in out
