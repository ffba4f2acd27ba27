"""Processes that do not belong together are refused before the first step, within the time-out, and what differs is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from codemix.errors import PeerEnded, UserError
from tests import tiny_study
from tests.faults import runs, together

WRONG = UserError.exit_code


def refused(place, output: Path, **of_process_1) -> list[str]:
  """The last lines of two processes that both end as after a mistake of the user, and trained nothing."""
  port = together.free_port()
  members = [together.start(place, output, port, 2, 0), together.start(place, output, port, 2, 1, **of_process_1)]
  ended = together.ends(members)
  assert [code for code, _ in ended] == [WRONG, WRONG], ended
  assert not list(output.glob('stages/*'))
  return [said.splitlines()[-1] for _, said in ended]


def test_a_process_that_never_starts_is_named_within_the_time_out(place, tmp_path):
  port = together.free_port()
  members = [together.start(place, tmp_path, port, 3, index, '--join_s=5') for index in (0, 2)]
  for code, said in together.ends(members, within_s=60):
    assert (code, said.splitlines()[-1]) == (PeerEnded.exit_code, 'codemix member: 2 of 3 processes joined in 5 s; missing: 1.')


@pytest.mark.slow
def test_other_code_is_refused(place, tmp_path):
  checkout = tmp_path / 'checkout'
  for folder in ('codemix', 'tests'):
    shutil.copytree(runs.ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns('__pycache__', 'golden'))
  with open(checkout / 'codemix' / 'training' / 'garbage.py', 'a') as file:
    file.write('# another line\n')
  for line in refused(place, tmp_path / 'out', root=checkout):
    assert re.search(r"the processes do not agree: codemix\.source is '\w+' in process 0, and '\w+' in process 1\. Start all with the same flags", line)


@pytest.mark.slow
@pytest.mark.parametrize('package', ['optax', 'flax', 'tensorstore'])
def test_another_version_of_a_package_is_refused(package, place, tmp_path):
  metadata = tmp_path / 'site' / f'{package}-0.0.1.dist-info' / 'METADATA'
  metadata.parent.mkdir(parents=True)
  metadata.write_text(f'Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n')
  variables = {'PYTHONPATH': f'{tmp_path / "site"}:{runs.ROOT}'}
  for line in refused(place, tmp_path / 'out', variables=variables):
    assert re.search(rf"the processes do not agree: {package} is '[\d.]+' in process 0, and '0\.0\.1' in process 1\. Start all", line)


@pytest.mark.slow
def test_other_data_are_refused(place, tmp_path):
  tiny_study.prepare(tmp_path / 'data', code_words=230)
  for line in refused(place, tmp_path / 'out', data=tmp_path / 'data'):
    assert re.search(r"the training data of\.code is '\w+' in process 0, and '\w+' in process 1", line)
    assert 'the training data of.text' not in line
    assert line.endswith('Data.directory must be one folder for all processes, or hold the same in each.')
