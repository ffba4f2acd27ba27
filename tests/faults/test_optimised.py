"""A resume is bitwise at the optimisation level at which users compile; the other tests compile at level 0."""

from __future__ import annotations

import signal

from tests.faults.runs import assert_same, finish, result_of, start

# When the first checkpoint of the second stage is sealed; its steps go on meanwhile.
IN_THE_SECOND_STAGE = ('--at', 'codemix.checkpoints.seal:drop_stray_seals', '--call', '3')


def test_a_run_killed_and_resumed_ends_as_one_that_was_not(place, tmp_path):
  def run(output: str, cache: str, *flags: str):
    words = ('tests.faults.driver', place.data, tmp_path / output, tmp_path / cache, *flags)
    return finish(start(*words, optimised=True))

  whole = run('whole', 'cache of whole')
  assert whole.returncode == 0, whole.stderr
  killed = run('killed', 'cache of killed', *IN_THE_SECOND_STAGE)
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert [path.name for path in tmp_path.glob('killed/stages/continued-*/checkpoints/*.json')] == ['10.digest.json']
  resumed = run('killed', 'cache of resumed')  # compiles each program anew
  assert resumed.returncode == 0, resumed.stderr
  assert_same(result_of(tmp_path / 'killed'), result_of(tmp_path / 'whole'))
