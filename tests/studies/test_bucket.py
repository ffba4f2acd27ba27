"""A study in a bucket is the study on a disk: prepared, trained, scored, reported and verified, bit by bit."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.checkpoints import Checkpoints
from codemix.errors import UserError
from codemix.report.write import write_report
from codemix.storage import as_path
from codemix.storage.lines import read_lines
from codemix.studies.load_stage import load_stage
from codemix.studies.verify import verify_stage
from tests import tiny_study
from tests.in_process import one_device_mesh, use_one_device

STUDY = tiny_study.study(staged=tiny_study.balanced_to_text(steps=6), text=tiny_study.recipe(tiny_study.stage('only', {'text': 1.0}, 3)))
FILES = ('stage.json', 'plan.json', 'rate.csv', 'ledger.json')


def run(root: str) -> Path:
  data = tiny_study.prepare(as_path(f'{root}/data'))
  return codemix.run_study(dataclasses.replace(STUDY, baseline='text'), data, tiny_study.runtime(f'{root}/out', tensorboard=True))


@pytest.fixture(scope='module')
def outputs(tmp_path_factory, bucket):
  """The output folders of the study on a disk and in a bucket."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    yield run(str(tmp_path_factory.mktemp('disk'))), run(f'{bucket}/study')


def stages(output: Path) -> list[Path]:
  return sorted((path.parent for path in output.glob('stages/*/done.json')), key=lambda path: path.name)


def bits(folder: Path) -> list[bytes]:
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(load_stage(folder).model(one_device_mesh()).params)]


def test_the_bucket_has_the_parameters_ledgers_metrics_and_scores_of_the_disk(outputs):
  disk, remote = map(stages, outputs)
  assert [path.name for path in disk] == [path.name for path in remote] and len(disk) == 4
  for here, there in zip(disk, remote, strict=True):
    assert bits(here) == bits(there)
    assert read_lines(here / 'metrics.jsonl') == read_lines(there / 'metrics.jsonl')
    assert [(here / name).read_bytes() for name in FILES] == [(there / name).read_bytes() for name in FILES]
    # Their identity names the checkpoint, whose files Orbax names at random.
    scores = functools.partial(lambda folder, name: codemix.storage.read_json(folder / 'evaluation' / f'{name}.json')['scores'])
    for source in ('text', 'code'):
      assert scores(here, f'held_out/{source}') == scores(there, f'held_out/{source}')


def test_the_report_of_a_bucket_is_written_into_it_with_the_numbers_of_the_disk(outputs):
  for output in outputs:
    write_report(str(output))
  disk, remote = outputs
  assert (remote / 'report.html').read_bytes().lower().startswith(b'<!doctype html>')
  assert (disk / 'scores.csv').read_bytes() == (remote / 'scores.csv').read_bytes()


def test_a_second_run_in_a_bucket_trains_nothing(outputs, monkeypatch, bucket):
  use_one_device(monkeypatch)
  before = {str(path): path.stat().st_mtime for path in outputs[1].rglob('*.digest.json')}
  data = codemix.Data(directory=f'{bucket}/study/data', tokenizer='bytes')
  codemix.run_study(dataclasses.replace(STUDY, baseline='text'), data, tiny_study.runtime(f'{bucket}/study/out', tensorboard=True))
  assert {str(path): path.stat().st_mtime for path in outputs[1].rglob('*.digest.json')} == before


def test_the_curves_of_a_bucket_are_whole_files_of_tensorboard(outputs):
  from tensorboardX.proto import event_pb2

  [events] = stages(outputs[1])[0].glob('tensorboard/*')
  data, steps = events.read_bytes(), []
  while data:  # length, its checksum, the event, its checksum
    size = int.from_bytes(data[:8], 'little')
    steps.append(event_pb2.Event.FromString(data[12 : 12 + size]).step)
    data = data[16 + size :]
  assert max(steps) == 6


def test_verify_says_whether_it_read_a_checkpoint_or_compared_what_the_bucket_keeps(outputs, capsys):
  for output, flags, said, keys in (
    (outputs[0], (), ' MB re-read and as they were written', (True, False)),
    (outputs[1], (), ' MB as they were written, by the checksums that the bucket keeps (--reread reads them)', (False, True)),
    (outputs[1], ('--reread',), ' MB re-read and as they were written', (True, False)),
  ):
    folder = stages(output)[0]
    assert cli.main(['verify', str(folder), *flags]) == 0
    line = capsys.readouterr().out
    assert said in line and ('bucket keeps' in line) == keys[1]
    found = verify_stage(folder, bool(flags))
    assert (bool(found['bytes_read']), bool(found['bytes_compared'])) == keys


def test_rereading_finds_what_the_checksums_of_a_bucket_do_not_say(outputs, monkeypatch):
  folder = stages(outputs[1])[0]
  monkeypatch.setattr('codemix.storage.checksums._crc32c', lambda path: f'crc32c:{path.name}')  # as if other bytes were read
  assert verify_stage(folder)['finished']
  with pytest.raises(UserError, match='is damaged: its file .* has changed'):
    verify_stage(folder, reread=True)


@pytest.mark.parametrize('damage', ['deleted', 'truncated', 'flipped'])
def test_a_damaged_object_of_a_checkpoint_is_found_and_named(outputs, damage):
  folder = stages(outputs[1])[0]
  [step] = (int(path.name) for path in (folder / 'checkpoints').iterdir() if path.name.isdigit())
  assert verify_stage(folder)['finished']
  path = max((folder / 'checkpoints' / str(step)).rglob('d/*'), key=lambda path: path.stat().st_size)
  whole = path.read_bytes()
  try:
    path.unlink()
    if damage != 'deleted':
      path.write_bytes(whole[:-1] if damage == 'truncated' else whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(UserError, match=path.name):
      verify_stage(folder)
    checkpoints = Checkpoints(folder / 'checkpoints', read_only=True)
    with pytest.raises(UserError, match=path.name):
      checkpoints.require(step, load_stage(folder).checkpoint)
    checkpoints.close()
  finally:
    path.write_bytes(whole)
