"""The real swarms of Olmix: what is known of them comes out."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.report.swarm.content import Content, gather
from codemix.report.swarm.files import read_swarm

FOLDER = 'swarms/olmix'


@pytest.fixture(scope='module')
def content(shared_data) -> Content:
  """The swarm of 512 mixtures; without the groups' and tasks' pages."""
  return gather(read_swarm(*(str(shared_data / FOLDER / f'full_recomputation_{name}.csv.gz') for name in ('ratios', 'metrics'))), 'bits_per_byte', '')


def test_code_lowers_the_bits_per_byte_of_code(content):
  groups = {effect.name: effect for effect in content.groups}
  for name in ('HumanEval', 'MBPP', 'MBPP in many languages'):
    assert groups[name].verdict == 'falls' and groups[name].permutations_agree
    assert groups[name].slope.interval()[1] < -0.1
    assert groups[name].shape.curved
  assert len(groups['MBPP in many languages'].tasks) == 17 and len(groups['MMLU'].tasks) == 57


def test_hellaswag_is_told_apart_from_noise_and_its_change_is_a_small_part_of_humanevals(content):
  """That it is worse by 0.009 bits per byte for 10 points is what the data say, not what the paper reports of its scores."""
  groups = {effect.name: effect for effect in content.groups}
  assert groups['HellaSwag'].verdict == 'rises' and groups['HellaSwag'].permutations_agree
  assert groups['HellaSwag'].slope.value < 0.1 * abs(groups['HumanEval'].slope.value)


def test_nothing_is_left_out_and_code_is_not_confounded(content):
  assert not content.left_out and len(content.swarm.code) == 15 and len(content.swarm.runs) == 512
  assert content.designs.explained['groups'] < 0.05
  assert content.designs.names == ['alone', 'groups', 'domains']


def test_topics_of_the_web_are_not_code_by_their_names(shared_data):
  files = [str(shared_data / FOLDER / f'dclm_{name}.csv.gz') for name in ('ratios', 'metrics')]
  with pytest.raises(UserError, match='software_development'):
    read_swarm(*files)
  assert read_swarm(*files, ['software_development']).code == ('software_development',)
