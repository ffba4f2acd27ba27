"""A stage is found by its exact name before anything else, and whoever names none is told which there are."""

from __future__ import annotations

import dataclasses

import pytest

from codemix.errors import UserError
from codemix.studies.stage_names import find_stage, find_stages


@dataclasses.dataclass(frozen=True)
class Stage:
  name: str
  hash: str


A = Stage('a', 'ff' + '0' * 62)
BEGINS_WITH_A = Stage('cooldown', 'a1' + '0' * 62)
TWICE = Stage('cooldown', 'b2' + '0' * 62)
STAGES = [BEGINS_WITH_A, A, TWICE]


def test_an_exact_name_wins_over_a_hash_that_begins_so():
  assert find_stages('a', STAGES) == [A]
  assert find_stage('a', STAGES) is A


@pytest.mark.parametrize(
  ('wanted', 'found'),
  [
    ('a1', [BEGINS_WITH_A]),
    ('a100000000', [BEGINS_WITH_A]),
    (A.hash, [A]),
    ('cooldown', [BEGINS_WITH_A, TWICE]),
    ('cooldown-b', [TWICE]),
    ('cooldown-b20000000000', [TWICE]),
    ('its_old_name-b20000000000', [TWICE]),  # a renamed stage lies in the folder of its old name
    ('f', [A]),
  ],
)
def test_stages_are_found_by_name_folder_and_hash(wanted, found):
  assert find_stages(wanted, STAGES) == found


def test_a_stage_whose_name_is_the_hash_of_another_is_the_one_that_is_meant():
  named_so = Stage(TWICE.hash[:12], 'c' * 64)
  assert find_stages(TWICE.hash[:12], [TWICE, named_so]) == [named_so]


@pytest.mark.parametrize('wanted', ['', '-', 'nope', 'a-', 'A', 'cooldown-ff', 'other-b2'])
def test_what_names_no_stage_is_refused_with_those_that_there_are(wanted):
  with pytest.raises(UserError, match='there is a, cooldown'):
    find_stages(wanted, STAGES)


def test_the_nearest_name_is_suggested():
  with pytest.raises(UserError, match=r"Did you mean 'cooldown'\?"):
    find_stages('cooldwn', STAGES)


def test_one_stage_of_several_is_named_by_its_hash():
  with pytest.raises(UserError, match='2 stages are named .cooldown.; name one by its hash: a10000000000, b20000000000'):
    find_stage('cooldown', STAGES)


def test_a_plan_is_also_found_by_the_hash_and_the_folder_of_an_earlier_version():
  @dataclasses.dataclass(frozen=True)
  class Plan(Stage):
    earlier_hash: str | None

  old, new = Plan('cooldown', 'c3' + '0' * 62, 'd4' + '0' * 62), Plan('cooldown', 'e5' + '0' * 62, None)
  for wanted in ('d4', 'd40000000000', 'cooldown-d40000000000', 'cooldown-d4', old.earlier_hash, 'c3'):
    assert find_stages(wanted, [old, new]) == [old]
