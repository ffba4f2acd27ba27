#!/usr/bin/env python3
"""A stand-in for gcloud, and for the programs of TPU VMs: folders are machines, and what is sent to them really runs there.

`TpuCloud` makes it; the rest of this file is what its programs do. A machine's Python acts as the next entry of the plan says:
an exit code; 'save', which waits for SIGTERM and exits with 75; 'taken', at which Cloud TPU takes the machines away; or 'vanished', where
the connections to them stay open besides.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(os.environ.get('TPU_CLOUD', '.'))
PROGRAMS = ('gcloud', 'python3', 'uname')


class TpuCloud:
  """A Cloud TPU on this machine.

  Args:
    root: its folder.
    plan: what the machines do at each start, one entry for all or a list with one for each.
    machines: how many a queued resource has.
    states: what a new queued resource is until it is ACTIVE.
    fails: why there are no machines; '' if there are.
    lost: how many queued resources end with `states`; the next is ACTIVE after them.
    hangs: the verb of gcloud that never ends.
    leaves: the verb of gcloud that fails once since the machines go, which the state shows later.
    repeats: the word of a command that gcloud runs twice, as after a broken connection.
  """

  def __init__(
    self,
    root: Path,
    plan: list,
    machines: int = 2,
    states: tuple[str, ...] = ('ACCEPTED', 'WAITING_FOR_RESOURCES', 'PROVISIONING'),
    fails: str = '',
    lost: int = 0,
    hangs: str = '',
    leaves: str = '',
    repeats: str = '',
  ):
    self.root = root
    programs = root / 'programs'
    programs.mkdir(parents=True)
    for name in PROGRAMS:
      (programs / name).write_text(f'#!{sys.executable} -S\n' + Path(__file__).read_text().partition('\n')[2])
      (programs / name).chmod(0o755)
    write_to(root, 'plan', plan)
    settings = {'machines': machines, 'states': states, 'fails': fails, 'lost': lost, 'hangs': hangs, 'leaves': leaves, 'repeats': repeats}
    write_to(root, 'settings', settings)
    self.environment = {**os.environ, 'TPU_CLOUD': str(root), 'PATH': f'{programs}:{os.environ["PATH"]}', 'CODEMIX_ENDING_S': '10'}

  def calls(self) -> list[list[str]]:
    """The words of each call of gcloud."""
    return [json.loads(line) for line in (self.root / 'calls').read_text().splitlines()]

  def verbs(self) -> list[str]:
    """What was asked, without the questions for the state."""
    return [call[3] for call in self.calls() if call[3] != 'describe']

  def starts(self) -> list[dict]:
    """The words and variables of each start of codemix on a machine."""
    return [json.loads(line) for line in (self.root / 'starts').read_text().splitlines()]

  def wait(self, name: str, lines: int) -> None:
    """Waits until a file of calls or starts has so many lines."""
    deadline = time.monotonic() + 60
    while not (self.root / name).exists() or len((self.root / name).read_text().splitlines()) < lines:
      assert time.monotonic() < deadline, f'no {lines} {name}'
      time.sleep(0.05)


def write_to(root: Path, name: str, value: object) -> None:
  (root / f'{name}.part-{os.getpid()}').write_text(json.dumps(value))
  os.replace(root / f'{name}.part-{os.getpid()}', root / name)


def write(name: str, value: object) -> None:
  write_to(ROOT, name, value)


def read(name: str) -> object:
  return json.loads((ROOT / name).read_text())


def append(name: str, value: object) -> None:
  with open(ROOT / name, 'a') as file:
    file.write(json.dumps(value) + '\n')


def gcloud(words: list[str]) -> int:
  append('calls', words)
  flags = dict(word[2:].partition('=')[::2] for word in words if word.startswith('--'))
  verb, *names = [word for word in words[3:] if not word.startswith('--')]
  if verb == read('settings')['hangs']:
    time.sleep(60)
  if verb == 'create':
    lost = read('settings')['lost']
    last = [] if lost else ['FAILED' if read('settings')['fails'] else 'ACTIVE']
    before = () if read('settings')['states'][-1] == 'SUSPENDED' and not lost else read('settings')['states']
    write('settings', {**read('settings'), 'lost': max(lost - 1, 0)})
    write('state', [*before, *last])
    for number in range(read('settings')['machines']):
      (ROOT / f'machine-{number}').mkdir()
    return 0
  if not (ROOT / 'state').exists():
    print(f'ERROR: (gcloud.compute.tpus.queued-resources.{verb}) NOT_FOUND: Resource was not found', file=sys.stderr)
    return 1
  state, *later = read('state')
  if verb == 'describe':
    print(state, *([read('settings')['fails']] if state == 'FAILED' else []), sep='\t')
    if later:
      write('state', later)
  elif verb == 'delete':
    take()
    (ROOT / 'vanished').unlink(missing_ok=True)
    (ROOT / 'state').unlink()
  elif verb == read('settings')['leaves']:
    write('settings', {**read('settings'), 'leaves': ''})
    write('state', ['ACTIVE', 'ACTIVE', 'SUSPENDING', 'SUSPENDED'])
    return 255
  elif verb == 'scp':
    *files, target = names
    for home in machines(flags):
      for file in files:
        shutil.copy(file, home / target.partition(':')[2])
  elif verb == 'ssh':
    repeats = read('settings')['repeats']
    for _ in range(2 if repeats and repeats in flags['command'] else 1):
      code = on_all(flags['command'], machines(flags))
    while (ROOT / 'vanished').exists():
      time.sleep(0.05)  # its other end does not answer any more
    return code
  return 0


def machines(flags: dict[str, str]) -> list[Path]:
  homes = sorted(ROOT.glob('machine-*'))
  return homes if flags['worker'] == 'all' else homes[:1]


def on_all(command: str, homes: list[Path]) -> int:
  """Like gcloud: at once on all, with the first exit code that is not 0."""
  codes = {}

  def run(home: Path) -> None:
    codes[home] = subprocess.run(['bash', '-c', command], cwd=home, env={**os.environ, 'HOME': str(home)}, stdin=subprocess.DEVNULL, check=False).returncode

  threads = [threading.Thread(target=run, args=(home,)) for home in homes]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return next((codes[home] for home in homes if codes.get(home, 255)), 0)


def take() -> None:
  """The machines go, with all that runs there."""
  for home in ROOT.glob('machine-*'):
    for pid in home.glob('*/pid'):
      with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGKILL)
    while home.exists():  # the process that waits for the killed one still writes there
      shutil.rmtree(home, ignore_errors=True)


def python3(words: list[str]) -> int:
  if words[:3] == ['-m', 'uv', 'venv']:
    programs = Path(words[-1]) / 'bin'
    programs.mkdir(parents=True)
    (programs / 'python3').symlink_to(ROOT / 'programs' / 'python3')
  elif words[:3] == ['-m', 'uv', 'pip']:
    append('installs', words)
  elif words[:2] == ['-m', 'codemix']:
    return codemix(words[2:])
  return 0


def codemix(words: list[str]) -> int:
  home = Path(os.environ['HOME'])
  number = int(home.name.partition('-')[2])
  with open(home / 'started', 'a') as file:
    file.write('x')
  seen = [json.loads(line) for line in (ROOT / 'starts').read_text().splitlines()] if (ROOT / 'starts').exists() else []
  nth = sum(1 for each in seen if each['machine'] == number)
  files = {str(path.relative_to(Path.cwd())): path.read_text() for path in Path.cwd().rglob('*') if path.is_file()}
  variables = {name: value for name, value in os.environ.items() if name.startswith(('LIBTPU', 'XLA', 'CODEMIX_DATA', 'SECRET'))}
  what = read('plan')[nth]
  what = what[number] if isinstance(what, list) else what
  print(f'start {nth} on machine {number}', flush=True)
  stopped = threading.Event()
  signal.signal(signal.SIGTERM, lambda received, frame: stopped.set())
  append('starts', {'machine': number, 'words': words, 'files': files, 'variables': variables})
  if what == 'save':
    while not stopped.is_set():
      time.sleep(0.05)
    return 75
  if what in ('taken', 'vanished'):
    if number == 0:
      time.sleep(0.5)
      if what == 'vanished':
        (ROOT / 'vanished').touch()
      write('state', ['SUSPENDED'])
      take()
    time.sleep(60)
  return what


def main() -> int:
  name = Path(sys.argv[0]).name
  if name == 'uname':
    print(f't1v-{Path(os.environ["HOME"]).name}')
    return 0
  return {'gcloud': gcloud, 'python3': python3}[name](sys.argv[1:])


if __name__ == '__main__':
  sys.exit(main())
