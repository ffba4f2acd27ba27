"""Studies for the tests of reports: invented, finished, and copies of them to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codemix.report.write import write_report
from tests.report.fake_study import paper_recipes, write_fake_study


@pytest.fixture(scope='session')
def finished_study(tmp_path_factory) -> Path:
  """A finished study with its report. Not to be changed: copy it with `changed_study`."""
  folder = write_fake_study(tmp_path_factory.mktemp('finished') / 'study')
  write_report(folder)
  return folder


@pytest.fixture
def changed_study(finished_study, tmp_path) -> Path:
  """A copy of the finished study to damage."""
  return Path(shutil.copytree(finished_study, tmp_path / 'study'))


@pytest.fixture
def small_study(tmp_path) -> Path:
  """A finished study of two recipes and three stages, without a report, to damage."""
  recipes = paper_recipes(steps=12)
  chosen = {name: recipes[name][:2] for name in ('balanced-only', 'balanced-to-text')}
  return write_fake_study(tmp_path / 'small', chosen)
