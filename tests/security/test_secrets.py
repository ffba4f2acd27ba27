"""A secret of the environment is in no file, no output and no command line of what codemix does with a model and a judge."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.evaluation.judge.server import judge_server

VARIABLES = ('OPENAI_API_KEY', 'HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'WANDB_API_KEY', 'MY_JUDGE_KEY')
SECRETS = {name: f'sk-marker-of-{name.lower()}-5f3a' for name in VARIABLES}


class CommandLines(threading.Thread):
  """Reads the command lines of a process and all that it starts, for as long as it runs."""

  def __init__(self, pid: int):
    super().__init__(daemon=True)
    self.ended, self.seen = threading.Event(), set()
    self._family = {pid}
    self.start()

  def run(self) -> None:
    while not self.ended.wait(0.01):
      for folder in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError, IndexError):
          parent = int((folder / 'stat').read_text().rpartition(')')[2].split()[1])
          if int(folder.name) in self._family or parent in self._family:
            self._family.add(int(folder.name))
            self.seen.add((folder / 'cmdline').read_bytes())


def ran(place: Path, *words: str) -> tuple[int, bytes, set[bytes]]:
  """Exit code, output, and command lines of a verb in a process of its own that has the secrets."""
  environment = {**os.environ, **SECRETS, 'PYTHONPATH': os.getcwd(), 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''}
  with subprocess.Popen(
    [sys.executable, '-m', 'codemix', *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
  ) as process:
    watch = CommandLines(process.pid)
    output, _ = process.communicate()
    watch.ended.set()
    watch.join()
  assert any(b'codemix' in line for line in watch.seen)
  return process.returncode, output, watch.seen


@pytest.mark.slow
def test_no_secret_is_written_shown_or_passed_on(tmp_path):
  tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  (tmp_path / 'eval' / 'dolly').mkdir(parents=True)
  (tmp_path / 'eval' / 'dolly' / 'databricks-dolly-15k.jsonl').write_text('{"instruction": "Say a word.", "context": "", "response": "word"}\n' * 3)
  (tmp_path / 'recipe.gin').write_text(GIN)
  flags = [f'--gin_file={tmp_path / "recipe.gin"}', f"--gin.Data.directory='{tmp_path / 'data'}'", f"--gin.Runtime.output='{tmp_path / 'out'}'"]
  said = []
  for words in (['study', *flags, '--verbose'], ['report', f'--output={tmp_path / "out"}'], ['verify', str(tmp_path / 'out')], ['launch', 'local', *flags, '--dry_run']):
    code, output, lines = ran(tmp_path, *words)
    said += [output, *lines]
    assert code in (0, 2) if words[0] == 'launch' else not code, output.decode()
  first, second = sorted((tmp_path / 'out' / 'stages').iterdir())
  with judge_server(lambda a, b: 'A') as server:
    server.faults = [429, 'garbage', 401]  # the server repeats the key in what it refuses
    judged = [f'--against={second}', '--tasks=dolly', f'--eval_dir={tmp_path / "eval"}', '--judge=judge', f'--judge_url={server.url}', '--verbose', '--limit=3']
    for _ in range(2):
      code, output, lines = ran(tmp_path, 'evaluate', str(first), *judged)
      said += [output, *lines]
    assert not code, output.decode()
    assert server.keys == {f'Bearer {SECRETS["OPENAI_API_KEY"]}'}  # it was used
  files = [path for path in tmp_path.rglob('*') if path.is_file()]
  assert len(files) > 50
  said += [path.read_bytes() for path in files] + [str(path).encode() for path in files]
  found = {name for name, secret in SECRETS.items() for content in said if secret.encode() in content}
  assert not found


def test_a_secret_on_a_command_line_is_seen():
  """That `CommandLines` reads what it should."""
  with subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.5)', SECRETS['HF_TOKEN']]) as process:
    watch = CommandLines(process.pid)
    time.sleep(0.2)
    process.wait()
    watch.ended.set()
    watch.join()
  assert any(SECRETS['HF_TOKEN'].encode() in line for line in watch.seen)
