"""Units of a study run by processes of their own, at once, killed and run again: the results of one process that runs all."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codemix import cli
from codemix.storage import locked, read_json
from tests.faults import runs
from tests.studies import two_arms

LONGER = ('--gin.second/Stage.tokens=51200', '--gin.third/Stage.tokens=51200')  # one is killed in them


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  return two_arms.write(tmp_path_factory.mktemp('units'))


def flags(root: Path, output: str = 'out') -> tuple[str, ...]:
  return two_arms.flags(root, root / output, *LONGER)


def start(root: Path, *units: str) -> subprocess.Popen:
  return runs.start('codemix', 'study', *(f'--unit={unit}' for unit in units), *flags(root))


def finish(process: subprocess.Popen) -> None:
  ran = runs.finish(process)
  assert ran.returncode == 0, ran.stderr
  assert 'Traceback' not in ran.stderr


def commands(root: Path, capsys: pytest.CaptureFixture) -> list[dict]:
  assert cli.main(['study', '--list_commands', '--format=json', *flags(root)]) == 0
  return json.loads(capsys.readouterr().out)


def test_units_in_processes_of_their_own_come_to_what_one_process_does(root, capsys):
  alone = runs.start('codemix', 'study', *flags(root, 'alone'))
  listed = commands(root, capsys)
  for number, unit in enumerate(listed):
    assert set(unit['needs']) <= {before['unit'] for before in listed[:number]}
  assert [unit['unit'].partition('-')[0] for unit in listed] == ['train/first', 'evaluate/first', 'train/second', 'evaluate/second', 'train/third', 'evaluate/third', 'report']
  assert cli.main(['study', '--unit=train/second', *flags(root)]) == 2
  assert f'needs {listed[0]["unit"]}, which is not done' in capsys.readouterr().err.splitlines()[-1]

  words = shlex.split(listed[0]['command'])
  assert words[0] == 'codemix'
  finish(runs.start('codemix', *words[1:]))
  assert (root / 'out' / 'study.json').is_file() and not (root / 'out' / 'report.html').exists()
  at_once = {name: start(root, f'train/{name}', f'evaluate/{name}') for name in ('second', 'third')}
  until = time.monotonic() + 120
  while not list((root / 'out').glob('stages/third-*/checkpoints/*.digest.json')) and time.monotonic() < until:
    time.sleep(0.02)
  at_once['third'].send_signal(signal.SIGKILL)
  assert runs.finish(at_once['third']).returncode == -signal.SIGKILL
  finish(at_once['second'])
  left = [unit['unit'].partition('-')[0] for unit in commands(root, capsys) if unit['state'] != 'done']
  assert left == ['evaluate/first', 'train/third', 'evaluate/third', 'report']
  finish(start(root, 'evaluate/first', 'train/third', 'evaluate/third'))
  assert {unit['state'] for unit in commands(root, capsys)[:-1]} == {'done'}
  finish(alone)
  runs.assert_same(runs.result_of(root / 'out'), runs.result_of(root / 'alone'))
  records = [read_json(root / output / 'study.json') for output in ('out', 'alone')]
  assert [{**record, 'provenance': None} for record in records][0] == {**records[1], 'provenance': None}
  assert '--unit' not in records[0]['provenance']['command']

  # What is done does nothing, and what another process does is refused.
  assert cli.main(['study', '--unit=train/third', *flags(root)]) == 0
  assert runs.result_of(root / 'out') == runs.result_of(root / 'alone')
  [third] = (root / 'out').glob('stages/third-*')
  (third / 'done.json').unlink()
  with locked(third, 'training'):
    assert cli.main(['study', '--unit=train/third', *flags(root)]) == 2
  assert 'another process is training in' in capsys.readouterr().err


def test_many_processes_may_write_one_file_at_once(tmp_path):
  program = "import sys; from pathlib import Path; from codemix.storage import write_json\nfor _ in range(200): write_json(Path(sys.argv[1]), {'by': sys.argv[2] * 1000})"
  writers = [subprocess.Popen([sys.executable, '-c', program, str(tmp_path / 'study.json'), str(number)], cwd=runs.ROOT) for number in range(4)]
  seen = set()
  while any(writer.poll() is None for writer in writers):
    if (tmp_path / 'study.json').exists():
      seen.add(read_json(tmp_path / 'study.json')['by'][:1])
  assert [writer.returncode for writer in writers] == [0] * 4 and seen
  assert [path.name for path in tmp_path.iterdir()] == ['study.json']
