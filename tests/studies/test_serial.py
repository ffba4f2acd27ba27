"""What must hold of a process that trains many stages."""

from __future__ import annotations

from pathlib import Path

import pytest

import codemix
from codemix.studies import serial
from tests import tiny_study

MAPPINGS = Path('/proc/self/maps')


@pytest.mark.skipif(not MAPPINGS.exists(), reason='the mappings of a process are only known on Linux')
@pytest.mark.usefixtures('one_device')
def test_the_programs_of_former_stages_do_not_pile_up(tmp_path, monkeypatch):
  monkeypatch.setattr(serial, 'KEPT', 2)
  data = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  mappings = []
  for number in range(4):
    recipe = tiny_study.recipe(*(tiny_study.stage(name, {name: 1.0}, 4 + number) for name in ('text', 'code')), seed=number)
    codemix.run_study(tiny_study.study(one=recipe), data, tiny_study.runtime(tmp_path / str(number)))
    mappings.append(len(MAPPINGS.read_text().splitlines()))
  # Two stages make some 170, which are given up once in two stages.
  assert mappings[3] < mappings[1] + 100, mappings
