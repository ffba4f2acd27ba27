"""`codemix study --pilot`: its runs are units of the study, its noise is what `codemix plan --power` reads, and mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemix import cli, config
from codemix.inference.components import Components
from codemix.planner.pilot_file import pilot_file
from codemix.storage import read_json
from codemix.studies.pilot import Pilot, PilotPlan, plan_pilot
from tests import tiny_study
from tests.in_process import use_one_device
from tests.studies import two_arms

SEEDS = '--gin.Study.seeds=(0, 1, 2)'
CLAIM = """
shown/Claim.arm = 'b'
shown/Claim.against = 'a'
shown/Claim.metric = 'text'
shown/Claim.expected = 'higher'
Study.claims = {'b_is_worse': @shown/Claim()}
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  root = two_arms.write(tmp_path_factory.mktemp('pilot'))
  with (root / 'study.gin').open('a') as file:
    file.write(CLAIM)
  return root


def flags(root: Path, *more: str) -> tuple[str, ...]:
  return two_arms.flags(root, root / 'out', *more)


def run(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
  capsys.readouterr()
  code = cli.main(list(words))
  said = capsys.readouterr()
  assert 'Traceback' not in said.err
  return code, said.out, said.err


def test_a_pilot_trains_units_of_the_study_and_its_noise_plans_it(root, capsys, monkeypatch):
  use_one_device(monkeypatch)
  code, out, err = run(capsys, 'study', '--pilot', '--format=json', '--price=2', *flags(root, SEEDS))
  assert code == 0, err
  found = json.loads(out)
  assert (found['arm'], found['seeds'], found['stage']) == ('a', [0, 1, 2], 'second')
  assert err.index("pilot: seeds 0, 1, 2 of 'a'") < err.index('chip-hours') < err.index('goodput')  # the cost comes first
  assert 'price' in err and 'know a standard deviation' not in err

  # Exactly the stages of the arm are done, and of the study nothing is trained twice.
  code, out, _ = run(capsys, 'study', '--list_commands', '--format=json', *flags(root, SEEDS))
  units = json.loads(out)
  done = [unit['unit'].rpartition('-')[0] for unit in units if unit['state'] == 'done']
  assert sorted(done) == sorted(['train/first', 'evaluate/first', 'train/second', 'evaluate/second'] * 3)
  left = {unit['unit'].rpartition('-')[0] for unit in units if unit['state'] != 'done'}
  assert left == {'train/third', 'evaluate/third', ''}  # the last one is the report

  # Claims were registered before the pilot trained, and study.json is that of the whole study.
  [registration] = read_json(root / 'out' / 'claims.json')['registrations']
  assert registration['begun'] == {}
  assert set(read_json(root / 'out' / 'study.json')['recipes']) == {f'{arm}, seed {seed}' for arm in 'ab' for seed in range(3)}

  # What it has measured is what plan --power plans with.
  noise = found['components']['text']
  assert noise['unit'] == 'bits per byte' and noise['items'] > 2 and noise['seed'] >= 0 and noise['residual'] > 0
  code, out, err = run(capsys, 'plan', '--power', '--format=json', *flags(root, SEEDS, f'--gin_file={root / "out" / "pilot.gin"}'))
  assert code == 0, err
  planned = json.loads(out)
  same = {key: [{k: v for k, v in each.items() if 'hours' not in k} for each in of['comparisons']] for key, of in (('ours', found['power']), ('theirs', planned))}
  assert same['ours'] == same['theirs'] and same['ours'][0]['unit'] == 'bits per byte'
  assert planned['comparisons'][0]['least_effect'] > 0

  # Fewer seeds, up to an earlier stage: nothing is left to train, and too few seeds are warned of.
  kept = {path: path.read_bytes() for path in (root / 'out' / 'stages').rglob('*.json*')}
  code, out, err = run(capsys, 'study', '--pilot', '--gin.Pilot.seeds=2', '--gin.Pilot.stage="first"', "--gin.Pilot.arm='b'", *flags(root, SEEDS))
  assert code == 0 and 'warning: 2 seeds know a standard deviation to a factor of 0.45 to 32' in err
  assert {path: path.read_bytes() for path in (root / 'out' / 'stages').rglob('*.json*')} == kept
  assert 'SD over seeds' in out and 'bits per byte' in out and 'pilot.gin' in out
  assert 'this study can' in out


@pytest.mark.parametrize(
  ('more', 'says'),
  [
    (("--gin.Pilot.arm='c'",), "Pilot.arm is 'c', which is not a recipe or an arm of the study (a, b)"),
    (("--gin.Pilot.stage='secnd'",), "Did you mean 'second'"),
    (('--gin.Pilot.stage=7',), "Pilot.stage is 7, and 'a' has 2 stages"),
    (('--gin.Pilot.seeds=1',), 'Pilot.seeds'),
    (('--gin.Study.validation=()', '--gin.Study.claims={}'), 'the study scores nothing'),
    (('--status',), '--status and --pilot are two things to do'),
    (('--topology=v5e:4x4',), '--topology has no effect without --status'),
    (('--price=-1',), 'it is a number above 0'),
  ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(root, capsys, more, says):
  code, _, err = run(capsys, 'study', '--pilot', *two_arms.flags(root, root / 'nothing', *more))
  assert code == 2 and says in err.splitlines()[-1]
  assert not (root / 'nothing').exists()


def test_a_pilot_of_a_study_with_fewer_seeds_takes_more_of_the_same_arm():
  study = tiny_study.study(a=tiny_study.recipe(tiny_study.stage('one', {'text': 1.0}, 4), seed=7), b=tiny_study.recipe(tiny_study.stage('one', {'code': 1.0}, 4)))
  plan = plan_pilot(study, Pilot())
  assert plan.seeds == (7, 0, 1) and [recipe.seed for recipe in plan.study.recipes.values()] == [7, 0, 1]
  assert all(recipe.stages == study.recipes['a'].stages for recipe in plan.study.recipes.values())
  assert plan_pilot(study, Pilot(arm='b', seeds=2)).seeds == (0, 1)


SD = st.floats(0, 100, allow_subnormal=False)
NOISE = st.builds(Components, seed=SD, items=st.integers(2, 10_000), arm_item=SD, residual=SD, sampling=SD) | st.builds(Components, seed=SD)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(st.characters(exclude_categories=('C', 'Z')), min_size=1, max_size=12), NOISE, min_size=1, max_size=4))
def test_the_noise_file_says_what_was_measured_whatever_tasks_are_called(components):
  study = tiny_study.study(a=tiny_study.recipe(tiny_study.stage('one', {'text': 1.0}, 4)))
  text = pilot_file(PilotPlan('an arm\nof two lines', (0, 1), ('one', 1), study), components, dict.fromkeys(components, 'points'), ['one-123'])
  config.parse([], [])
  import gin

  gin.parse_config(text)
  assert dict(config.build('Power').components) == components
