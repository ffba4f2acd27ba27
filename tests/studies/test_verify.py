"""`codemix verify` of what was trained: one flipped bit in any file of a finished stage is found."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.data.store.raw_files import FILE
from codemix.training.stage_record import sealed
from tests import tiny_study


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
  """A folder with the output of a study of two stages in `runs`, and its data."""
  root = tmp_path_factory.mktemp('verify')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  recipe = tiny_study.recipe(
    tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, 3), tiny_study.cooldown({'text': 1.0}, 2, 'second')
  )
  study = dataclasses.replace(tiny_study.study(one=recipe), prompts=(), validation=('text',))
  codemix.run_study(study, data, tiny_study.runtime(root / 'runs', save_every=2, keep=None))
  return root


@pytest.fixture
def place(trained, tmp_path) -> Path:
  return Path(shutil.copytree(trained, tmp_path / 'run'))


def verify(*words: object) -> int:
  return cli.main(['verify', *map(str, words)])


def one_error(capfd) -> str:
  [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith('codemix ')]
  return line


def stages(place: Path) -> list[Path]:
  return sorted(place.glob('runs/stages/*/'))


def test_the_newest_checkpoint_of_a_stage_that_is_not_finished_is_missed_when_it_is_gone(place, capfd):
  _, second = stages(place)
  (second / 'done.json').unlink()
  newest = max(int(path.name) for path in (second / 'checkpoints').iterdir() if path.name.isdigit())
  shutil.rmtree(second / 'checkpoints' / str(newest))
  assert verify(second) == 2
  assert f'the checkpoint {second}/checkpoints/{newest} is damaged' in one_error(capfd)


def test_it_says_what_it_found_in_any_folder_above(place, capfd):
  first, second = stages(place)
  for folder, stores in ((place, 4), (place / 'runs', 0), (place / 'runs' / 'stages', 0)):
    assert verify(folder, '--format=json') == 0
    found = json.loads(capfd.readouterr().out)
    assert [one['folder'] for one in found if one['kind'] == 'stage'] == [str(first), str(second)]
    assert len([one for one in found if one['kind'] == 'token store']) == stores
  assert verify(first) == 0
  assert f'{first}: finished, 3 steps, checkpoints at step 2, 3, ' in capfd.readouterr().out
  assert verify(first / 'checkpoints') == 2
  assert f'is a part of the stage {first}: name that' in one_error(capfd)


def test_one_flipped_bit_in_any_file_of_any_checkpoint_is_found(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  names = [path for path in stage.rglob('checkpoints/[0-9]*/**/*') if path.is_file() and path.stat().st_size]
  assert len(names) > 20
  for path in names:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert verify(place / 'runs') == 2
    said = one_error(capfd)
    assert str(stage / 'checkpoints') in said and path.name in said and 'damaged' in said
    path.write_bytes(whole)
  assert verify(place / 'runs') == 0


def test_harm_to_anything_else_that_counts_is_found_too(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('second')]
  done = json.loads((stage / 'done.json').read_text())
  harm = {
    'done.json': json.dumps({**done, 'checkpoint': 'f' * 64}).encode(),
    'ledger.json': (stage / 'ledger.json').read_bytes().replace(b'"rows": 16', b'"rows": 17'),
    'stage.json': (stage / 'stage.json').read_bytes().replace(b'"width": 16', b'"width": 17'),
    'metrics.jsonl': b'\0' + (stage / 'metrics.jsonl').read_bytes()[1:],
    'evaluation/held_out/text.parquet': (stage / 'evaluation/held_out/text.parquet').read_bytes()[:-30],
    f'checkpoints/{done["step"]}.digest.json': b'{}',
  }
  for name, content in harm.items():
    whole = (stage / name).read_bytes()
    assert content != whole
    (stage / name).write_bytes(content)
    assert verify(stage) == 2, name
    said = one_error(capfd)
    assert str(stage) in said and '\n' not in said
    (stage / name).write_bytes(whole)
  shutil.rmtree(stage / 'checkpoints' / str(done['step']))
  assert verify(stage) == 2
  assert 'with which its stage was done, is missing' in one_error(capfd)


def test_what_a_killed_run_left_is_no_damage(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  (stage / 'done.json').unlink()
  (stage / 'checkpoints' / '3.digest.json').unlink()
  assert verify(stage) == 0
  assert 'not finished, 3 steps, checkpoints at step 2' in (said := capfd.readouterr().out)
  assert 'passed over as not wholly written: 3' in said


def test_several_faults_are_all_named(place, capfd):
  for stage in stages(place):
    (stage / 'done.json').write_text('[]')
  (next(place.glob('data/stores/*/manifest.json')).parent / FILE).write_text('{}')
  assert verify(place) == 2
  said = capfd.readouterr().err
  assert '2 of 6 folders are not as they were written' in said
  assert said.count('done.json is damaged') == 2


def test_metrics_that_do_not_follow_each_other_or_do_not_add_up_are_found(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  path = stage / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  moved = {**lines[1], 'tokens/text': lines[1]['tokens/text'] - 32, 'tokens/code': lines[1]['tokens/code'] + 32}
  harm = {
    f'{path}:2 is of step 3 of the stage (of the run: 3), not of step 2 (2)': [lines[0], lines[2]],
    f'{path} has 2 whole lines; 3 steps were trained, of 3': lines[:2],
    f'{path}:2 says 512 tokens, and those by source add up to 511': [lines[0], {**lines[1], 'tokens/text': lines[1]['tokens/text'] - 1}, lines[2]],
    f"{path} has 352 tokens of 'text', and the ledger 384": [lines[0], moved, lines[2]],
    f'{path} has other skipped steps than the ledger: 3': [*lines[:2], {**lines[2], 'skipped': 'spike'}],
  }
  for says, changed in harm.items():
    path.write_text(''.join(json.dumps(line) + '\n' for line in changed))
    assert verify(stage) == 2
    assert says in one_error(capfd)
  (stage / 'done.json').unlink()  # in training: step 3 was saved after its line was on the disk
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines[:2]))
  assert verify(stage) == 2
  assert f'{path} has 2 whole lines; 3 steps were saved, of 3' in one_error(capfd)


@pytest.mark.parametrize('name', ['metrics.jsonl', 'rate.csv', 'plan.json'])
def test_one_altered_digit_in_any_line_of_a_finished_stage_is_found(place, capfd, name):
  """Also a loss or a rate, which no sum depends on."""
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  whole = (stage / name).read_bytes()
  digits = [at for at, byte in enumerate(whole) if chr(byte).isdigit()]
  for at in digits[:: max(1, len(digits) // 8)]:
    other = b'3' if whole[at : at + 1] != b'3' else b'4'
    (stage / name).write_bytes(whole[:at] + other + whole[at + 1 :])
    assert verify(stage) == 2
    assert str(stage) in one_error(capfd)
  (stage / name).write_bytes(whole)
  assert verify(stage) == 0 and 'not sealed' not in capfd.readouterr().out


def test_an_altered_loss_is_named_by_its_file(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  path = stage / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  lines[1]['loss'] -= 1e-9
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  assert verify(stage) == 2
  assert f'{path} was changed after its stage was done' in one_error(capfd)


def test_a_stage_of_an_earlier_codemix_is_whole_and_said_to_be_not_sealed(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  done = json.loads((stage / 'done.json').read_text())
  (stage / 'done.json').write_text(json.dumps({key: done[key] for key in ('step', 'checkpoint', 'ledger')}))
  assert verify(stage) == 0
  assert 'its metrics are not sealed' in capfd.readouterr().out


def test_digests_lead_to_no_file_outside_of_the_stage(place, capfd):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  done = json.loads((stage / 'done.json').read_text())
  (stage / 'done.json').write_text(json.dumps(sealed({**done, 'files': {**done['files'], '../../../data/nothing': 'f' * 64}})))
  assert verify(stage) == 0


@pytest.mark.parametrize('name', ['files', 'digest'])
def test_the_seal_of_a_stage_cannot_be_left_out_alone(place, capfd, name):
  [stage] = [folder for folder in stages(place) if folder.name.startswith('first')]
  done = json.loads((stage / 'done.json').read_text())
  (stage / 'done.json').write_text(json.dumps({key: value for key, value in done.items() if key != name}))
  assert verify(stage) == 2
  assert 'done.json was changed after it was written' in one_error(capfd)
