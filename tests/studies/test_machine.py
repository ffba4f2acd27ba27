"""What a machine cannot hold is found before anything is prepared or trained."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

import codemix
from codemix import cli
from codemix.errors import UserError
from codemix.parallel.mesh import make_mesh
from codemix.studies import preflight
from codemix.studies.planning import plan_study
from codemix.studies.preflight import check_machine, check_room
from tests import tiny_study
from tests.commands.test_wrong_input import GIN

MIXED = {'text': 0.5, 'code': 0.5}
MIB = 2**20


def study(*stages: codemix.Stage) -> codemix.Study:
  return tiny_study.study(only=tiny_study.recipe(*stages))


@pytest.mark.parametrize(
  ('settings', 'checkpoints'),
  [
    ({'keep': 2}, 1 + 2 + 1),  # one result, then two kept and one being written
    ({'keep': 1}, 1 + 1 + 1),
    ({'keep': None, 'save_every': 2}, 2 + 3),
  ],
)
def test_room_is_wanted_for_the_most_checkpoints_that_will_lie_there(settings, checkpoints, tmp_path, monkeypatch):
  wanted = []
  monkeypatch.setattr(preflight, 'require_writable', lambda folder, needed, keep_folders: wanted.append(needed))
  data = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  planned = plan_study(study(tiny_study.stage('a', MIXED, 4), tiny_study.stage('b', MIXED, 6)), data)
  runtime = tiny_study.runtime(tmp_path, **settings)
  check_room(planned, runtime, MIB)
  assert wanted.pop() == checkpoints * MIB
  # What an interrupted run has saved lies there already.
  first = planned.stages()[0]
  (tmp_path / 'stages' / first.folder_name / 'checkpoints' / '4').mkdir(parents=True)
  check_room(planned, runtime, MIB)
  assert wanted.pop() == (checkpoints - 1) * MIB


def test_the_batch_that_would_divide_is_told(tmp_path):
  six_rows = study(tiny_study.stage('a', MIXED, 4, batch=6))
  mesh = lambda devices: make_mesh(codemix.MeshConfig(), jax.devices()[:devices])
  check_machine(six_rows, tiny_study.runtime(tmp_path), mesh(3))
  with pytest.raises(UserError, match="stage 'a': a batch of 6 rows does not divide over 4 devices.*to 4 or 8"):
    check_machine(six_rows, tiny_study.runtime(tmp_path), mesh(4))


@pytest.mark.parametrize(
  ('flag', 'says'),
  [
    ('--gin.Stage.batch=9', 'a batch of 9 rows does not divide over 8 devices'),
    ("--gin.Runtime.output='{file}/out'", 'a part of the path is a file and no folder'),
  ],
)
def test_it_is_told_before_anything_is_prepared(flag, says, tmp_path: Path, capsys):
  (tmp_path / 'recipe.gin').write_text(GIN)
  (tmp_path / 'file').touch()
  data = tmp_path / 'data'
  flags = (f"--gin.Data.directory='{data}'", f"--gin.Runtime.output='{tmp_path}/out'", flag.format(file=tmp_path / 'file'))
  assert cli.main(['train', f'--gin_file={tmp_path / "recipe.gin"}', *flags]) == 2
  said = capsys.readouterr().err
  assert said.startswith('codemix train: ')
  assert says in said
  assert not data.exists()
