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
from codemix.report.published import published, published_by_share
from codemix.report.suite import HEADINGS

NOISE = {'piqa': Components(seed=0.35), 'sciq-5shot': Components(seed=0.7), 'humaneval': Components(seed=0.43), 'lambada': Components(seed=9.0)}


def test_the_noise_of_a_mean_is_that_of_as_many_independent_tasks():
  assert stated_tasks(NOISE, 'nl_reasoning') == ['piqa', 'sciq']
  assert group_noise(NOISE, 'nl_reasoning').seed == pytest.approx(math.sqrt((0.35**2 + 0.7**2) / 2 / 11))
  every = {task: Components(seed=2.0) for task in GROUPS['code'].tasks}
  assert group_noise(every, 'code').seed == pytest.approx(2 / math.sqrt(2))
  assert group_noise(NOISE, 'knowledge') is None


def test_the_noise_of_a_mean_has_the_choice_of_items_of_every_task():
  alike = {task: Components(seed=2.0, items=101, arm_item=30.0, residual=20.0, sampling=10.0) for task in GROUPS['code'].tasks}
  found = group_noise(alike, 'code')
  one = next(iter(alike.values()))
  for samples in (1, 4):
    assert found.figure_variance(samples) == pytest.approx(one.figure_variance(samples) / 2)
  assert found.item_variance == pytest.approx(one.item_variance / 2) and found.items - 1 == 2 * 100


def score_of_table_2(arm: str, group: str) -> float:
  """The printed score of an arm, in percent; 'x, cooled down' is after the last stage of x."""
  name, _, cooled = arm.partition(', ')
  stages = 3 if ' to ' in name else 2
  return 100 * published(name, stages if cooled else stages - 1, stages)[GROUPS[group].label]


def score_of_figure_4(arm: str, group: str) -> float:
  return 100 * published_by_share({**HEADINGS, 'code': 'Code'}[group])[float(arm.removesuffix('% code')) / 100]


# Printed in the figures: (reasoning, knowledge, code), None where the figure has no bar.
BARS = {
  'figure 3': {
    'balanced only, 470M': (51.8, 8.1, 9.0), 'balanced only, 2.8B': (54.5, 23.6, 21.8),
    'balanced to text, 470M': (53.0, 9.9, 4.8), 'balanced to text, 2.8B': (55.8, 27.1, 12.4),
    'code to text, 470M': (53.3, 9.5, 4.1), 'code to text, 2.8B': (57.9, 25.6, 11.7),
  },
  'figure 5': {
    'code': (39.9, None, 12.7), 'code+markup': (41.0, None, 10.7), 'code+adjacent': (42.4, None, 11.5), 'code+synthetic': (44.7, None, 15.5),
    'balanced to text': (52.0, None, 3.4), 'balanced+synthetic to text': (53.0, None, 4.8),
  },
  'figure 6': {'no cooldown': (53.0, 9.9, 4.8), 'cooldown without code': (52.9, 10.2, 4.8), 'cooldown with code': (54.9, 10.9, 5.8)},
}  # fmt: skip


def score_of_bars(source: str):
  return lambda arm, group: BARS[source][arm][('nl_reasoning', 'knowledge', 'code').index(group)]


@pytest.mark.parametrize(('source', 'score'), [('table 2', score_of_table_2), ('figure 4', score_of_figure_4), *((source, score_of_bars(source)) for source in BARS)])
def test_effects_are_the_differences_of_the_scores_that_the_report_shows(source, score):
  of_source = [effect for effect in PUBLISHED_EFFECTS if effect.source == source]
  assert of_source
  for effect in of_source:
    assert effect.points == pytest.approx(score(effect.arm, effect.group) - score(effect.baseline, effect.group)), effect


def test_every_point_of_the_sweep_and_every_size_is_there():
  arms = {(effect.source, effect.arm, effect.group) for effect in PUBLISHED_EFFECTS if effect.baseline in ('0% code', 'no cooldown') or effect.source == 'figure 3'}
  groups = ('nl_reasoning', 'knowledge', 'code')
  assert {('figure 4', f'{share}% code', group) for share in (25, 50, 75, 90, 100) for group in groups} <= arms
  assert {('figure 3', f'{arm}, 2.8B', group) for arm in ('balanced only', 'balanced to text', 'code to text') for group in groups} <= arms
  assert ('figure 6', 'cooldown with code', 'knowledge') in arms


def test_a_win_rate_is_the_wins_and_half_of_the_ties_less_a_half_and_its_noise_is_unknown():
  wins = {  # losses, wins
    ('code to text', 'figure 9'): (25.6, 32.2), ('balanced to text', 'figure 9'): (28.1, 34.7), ('cooldown without code', 'figure 7'): (22.1, 48.2),
    ('cooldown with code', 'figure 7'): (18.6, 52.3), ('balanced only, cooled down', 'figure 8'): (35.7, 32.7),
    ('balanced to text, cooled down', 'figure 8'): (34.7, 37.7), ('code to text, cooled down', 'figure 8'): (33.7, 36.7),
  }  # fmt: skip
  found = {(effect.arm, effect.source): effect.points for effect in PUBLISHED_EFFECTS if effect.group == WIN_RATE}
  assert found == pytest.approx({key: won + (100 - lost - won) / 2 - 50 for key, (lost, won) in wins.items()})
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
