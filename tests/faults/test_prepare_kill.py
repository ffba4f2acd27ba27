"""`prepare` killed at any instant: the same command again ends in the same bytes, whoever does the work."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.data.raw_corpora import files_of, texts, write_lines
from tests.faults.runs import finish, start

WRITER, DUPLICATES, CORPUS = 'codemix.data.store.shard_writer', 'codemix.data.prepare.duplicates', 'codemix.data.prepare.pipeline'

# Five shards for each of two splits; four files of a draft, its digests among them.
MOMENTS = {
  'before the first shard': (f'{WRITER}:ShardWriter.__init__', 1),
  'in a shard': (f'{WRITER}:ShardWriter.add', 7),
  'with the tokens in place and the table not': (f'{WRITER}:NewFile.finish', 12),
  'with all files of a shard and not its record': (f'{WRITER}:write_json', 3),
  'between shards and repeats': (f'{DUPLICATES}:digest_ranges', 1),
  'between two ranges of digests': (f'{DUPLICATES}:FindRepeats._repeats', 2),
  'in a copy without repeats': (f'{WRITER}:ShardWriter.add_stream', 45),
  'with a shard copied and its draft still there': (f'{DUPLICATES}:tokens_file', 8),
  'before the manifest': ('codemix.data.store.token_store:write_manifest', 1),
  'between the manifest and the end of the drafts': (f'{CORPUS}:_tidy', 2),
  'with one split prepared': (f'{CORPUS}:_write', 2),
  'before the pointer to the store': ('codemix.data.settings:write_text', 1),
}
IN_CI = {'in a shard', 'with all files of a shard and not its record', 'with a shard copied and its draft still there'}


def run(raw: Path, data: Path, *flags: str):
  return finish(start('tests.faults.prepare_driver', raw, data, *flags))


@pytest.fixture(scope='module')
def raw(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('raw')
  lines = texts(600, words=60)
  write_lines(folder, [[*lines[n::5], *lines[:30], b'{"text": 7}'] for n in range(5)])
  return folder


@pytest.fixture(scope='module')
def undisturbed(raw, tmp_path_factory) -> dict[str, bytes]:
  data = tmp_path_factory.mktemp('undisturbed')
  ran = run(raw, data)
  assert ran.returncode == 0, ran.stderr
  return files_of(data)


@pytest.mark.parametrize('moment', [pytest.param(m, marks=() if m in IN_CI else pytest.mark.slow) for m in MOMENTS])
def test_prepare_killed_at_a_chosen_moment_ends_as_if_it_was_not(moment, raw, undisturbed, tmp_path):
  target, call = MOMENTS[moment]
  killed = run(raw, tmp_path, '--at', target, '--call', str(call))
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert files_of(tmp_path) != undisturbed
  resumed = run(raw, tmp_path)
  assert resumed.returncode == 0, resumed.stderr
  assert files_of(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_prepare_killed_ten_times_at_random_ends_as_if_it_was_not(workers, raw, undisturbed, tmp_path):
  flags = ('--workers', str(workers))
  began = time.monotonic()
  assert run(raw, tmp_path / 'timed', *flags).returncode == 0
  seconds = time.monotonic() - began
  rng = random.Random(workers)
  kills, folder = 0, tmp_path / '0'
  while kills < 10:
    process = start('tests.faults.prepare_driver', raw, folder, *flags)
    try:
      process.wait(rng.uniform(0.5, 1.0) * seconds)
    except subprocess.TimeoutExpired:
      process.kill()
      kills += 1
    if finish(process).returncode != -signal.SIGKILL:
      # It was quicker: what the kills before it left has become whole, and the next ones begin anew.
      assert files_of(folder) == undisturbed
      seconds, folder = 0.9 * seconds, tmp_path / str(kills)
  ran = run(raw, folder, *flags)
  assert ran.returncode == 0, ran.stderr
  assert files_of(folder) == undisturbed


def test_a_prepared_corpus_is_not_written_again(raw, undisturbed, tmp_path):
  assert run(raw, tmp_path).returncode == 0
  before = {path: path.stat().st_mtime_ns for path in tmp_path.glob('stores/*/[!.]*')}
  assert run(raw, tmp_path).returncode == 0
  assert {path: path.stat().st_mtime_ns for path in tmp_path.glob('stores/*/[!.]*')} == before
