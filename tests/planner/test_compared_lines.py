"""The plan is corrected for as many comparisons as the report's tables of changes make."""

from __future__ import annotations

import sys

import pytest

from codemix.errors import UserError
from codemix.inference.components import Components
from codemix.planner.compared_lines import compared_lines, lines_tested
from codemix.planner.comparisons import plan_power
from codemix.planner.power_settings import Power
from codemix.planner.show_power import show_power
from codemix.report import suite_tables, tables
from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.report.table import Table
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import paper_recipes, stage, study_of, write_fake_study

# So many items that no two runs have the same score by chance: a difference without any noise has no p-value.
TASKS = {'piqa': (997, 2), 'boolq': (997, 2), 'humaneval': (997, 0)}
NOISE = {**{task: Components(seed=1.0) for task in TASKS}, 'text': Components(seed=0.01), 'code': Components(seed=0.01)}
FOUR = paper_recipes(steps=10)
SHORT = {'short': [stage('text', {'text': 1.0}, 10)]}  # ends with the first stage of text-only
BETWEEN = {'between': [stage('text', {'text': 1.0}, 10), stage('odd', {'code': 1.0}, 5)]}  # ends as no stage of text-only does


def replicated(recipes: dict, seeds: int) -> dict:
  return {f'{name}, seed {seed}': stages for name, stages in recipes.items() for seed in range(seeds)}


def comparisons_in(table: Table) -> int:
  return sum(cell.p is not None for line in table.lines for cell in line.cells)


def arm(code: float, steps: int) -> list:
  return [stage('pretrain', {source: share for source, share in (('text', 1 - code), ('code', code)) if share}, steps)]


# Code on top of the text of the baseline: each share spends other tokens.
ADDED = {'0%': arm(0.0, 12), '25%': arm(0.25, 16), '50%': arm(0.5, 24), 'text of 25%': arm(0.0, 16), 'text of 50%': arm(0.0, 24)}
CONTROLS = {'25%': 'text of 25%', '50%': 'text of 50%', 'text of 25%': 'text of 25%', 'text of 50%': 'text of 50%'}
PAIR = {name: FOUR[name] for name in ('text-only', 'code-to-text')}

STUDIES = {  # recipes, widths by a part of the name, baselines of arms, lines tested
  'three stages': (replicated(FOUR, 2), {}, {}, 3 * 3),
  # The first stages of both are that of text-only itself. The last one of 'between' is compared with the last of text-only, at other tokens.
  'shared stages and other budgets': (replicated({**PAIR, **SHORT, **BETWEEN}, 2), {}, {}, 3),
  'another size': ({**replicated(PAIR, 2), **replicated({f'{name}, wide': stages for name, stages in PAIR.items()}, 2)}, {'wide': 512}, {}, 6),
  'one arm of one seed': ({**replicated(PAIR, 2), 'balanced-only, seed 0': FOUR['balanced-only']}, {}, {}, 3),
  'more seeds in the baseline': ({**replicated({'text-only': FOUR['text-only']}, 3), **replicated({'code-to-text': FOUR['code-to-text']}, 2)}, {}, {}, 3),
  'baselines of their own': (replicated(ADDED, 2), {}, CONTROLS, 2),
  # Of those that are compared with 0% code, one alone spends its tokens.
  'unequal budgets': (replicated({**ADDED, '100%': arm(1.0, 12)}, 2), {}, {}, 1),
  'a baseline of its own and of other tokens': (replicated({**ADDED, '100%': arm(1.0, 12)}, 2), {}, {**CONTROLS, '100%': 'text of 50%'}, 2),
}


@pytest.mark.parametrize(('recipes', 'sizes', 'own', 'lines'), STUDIES.values(), ids=list(STUDIES))
def test_the_plan_counts_what_the_tables_of_changes_count(recipes, sizes, own, lines, tmp_path):
  arguments = {
    'seeds': {name: int(name[-1]) for name in recipes},
    'widths': {name: width for name in recipes for part, width in sizes.items() if part in name},
    'baselines': {f'{name}, seed {seed}': f'{base}, seed {seed}' for name, base in own.items() for seed in range(2)},
    'evaluate': tuple(TASKS),
  }
  study = study_of(recipes, **arguments)
  content = gather(read_study(add_benchmarks(write_fake_study(tmp_path / 's', recipes, **arguments), TASKS)))
  plan = plan_power(study, Power(), NOISE)
  assert lines_tested(list(compared_lines(study))) == lines
  of_groups = {'nl_reasoning': 'NL reasoning', 'code': 'Code'}
  counted = {name: comparisons_in(suite_tables.score_changes(content, next(group for group in content.suite.groups if group.label == label))) for name, label in of_groups.items()}
  assert plan.corrected_for == {**counted, 'bits per byte': comparisons_in(tables.changes_by_stage(content))}
  assert {each.resolution.design.comparisons for each in plan.comparisons if each.resolution.task == 'piqa'} == {counted['nl_reasoning']}
  # An arm is planned unless the report says that it ends after other tokens.
  other = [row.name for row in content.arm_rows if row.last and not row.contrast.same_tokens]
  assert plan.other_tokens == other and not {name for each in plan.comparisons for name in each.arms} & set(other)


def test_a_study_of_one_seed_is_corrected_for_what_it_would_test_with_more():
  one, two = (study_of(recipes := replicated(FOUR, seeds), seeds={name: int(name[-1]) for name in recipes}) for seeds in (1, 2))
  assert not any(line.is_tested for line in compared_lines(one))
  assert lines_tested(list(compared_lines(one))) == lines_tested(list(compared_lines(two))) == 9


def test_an_arm_that_is_the_baseline_again_compares_nothing():
  copies = study_of({'a': FOUR['text-only'], 'b': FOUR['text-only']})
  assert lines_tested(list(compared_lines(copies))) == 0 and plan_power(copies, Power(), NOISE).corrected_for['bits per byte'] == 1


def test_arms_of_other_tokens_are_named_and_not_planned(capsys):
  recipes = replicated({**ADDED, '100%': arm(1.0, 12)}, 2)
  seeds = {name: int(name[-1]) for name in recipes}
  show_power(plan_power(study_of(recipes, seeds=seeds), Power(), NOISE), sys.stdout)
  assert 'not tested, since they end after other numbers of tokens than what they are compared with: 25%, 50%, text of 25%, text of 50%\n' in capsys.readouterr().out
  without = {name: stages for name, stages in recipes.items() if '100%' not in name}
  with pytest.raises(UserError, match='no arm ends after as many tokens as what it is compared with: 25%, 50%'):
    plan_power(study_of(without, seeds=seeds), Power(), NOISE)
