"""What the fault tests share: the data, the compiled programs, and the run that nothing disturbed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import tiny_study
from tests.faults import runs


@dataclasses.dataclass(frozen=True)
class Place:
  """Where the runs of the small study find their data and their compiled programs."""

  data: Path
  cache: Path

  def start(self, output: Path, *flags: str):
    return runs.start('tests.faults.driver', self.data, output, self.cache, *flags)

  def run(self, output: Path, *flags: str):
    return runs.finish(self.start(output, *flags))


@pytest.fixture(scope='session')
def place(tmp_path_factory) -> Place:
  root = tmp_path_factory.mktemp('place')
  tiny_study.prepare(root / 'data')
  return Place(root / 'data', root / 'cache')


@pytest.fixture(scope='session')
def undisturbed(place, tmp_path_factory) -> dict[str, object]:
  """The result of the study run from beginning to end."""
  output = tmp_path_factory.mktemp('undisturbed')
  ran = place.run(output)
  assert ran.returncode == 0, ran.stderr
  return runs.result_of(output)
