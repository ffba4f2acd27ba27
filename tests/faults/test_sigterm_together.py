"""SIGTERM to one of two processes: both end with 75 where JAX lets them agree, and the run goes on to the same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemix.errors import Preempted
from tests import tiny_tasks
from tests.faults import together
from tests.faults.runs import assert_same, result_of

PAUSE = '--pause=4'  # JAX looks for the signal every second
SCORING = 'codemix.evaluation.held_out:score_documents'

# moment -> (function at which both wait when the signal comes, its call, steps of the checkpoints after it, stages that are done).
# The first stage has 6 steps, of which the end alone is kept, and is evaluated on two sources after the second and the fourth.
MOMENTS = {
  'before the first unit': ('codemix.studies.runner:check_unlocked', 1, [], []),
  'in the last step of a stage': ('codemix.parallel.watchdog:at_step', 5, [6], ['balanced']),
  'in an evaluation during training': (SCORING, 1, [2], []),
  'in the evaluation of a stage': (SCORING, 5, [6], ['balanced']),
}


@pytest.fixture(scope='module')
def tasks(tmp_path_factory) -> Path:
  return tiny_tasks.write_items(tmp_path_factory.mktemp('tasks'))


def both(place, output: Path, tasks: Path, *flags: tuple[str, ...]) -> list[tuple[int, str]]:
  port = together.free_port()
  return together.ends([together.start(place, output, port, 2, index, f'--tasks={tasks}', *(flags[index] if flags else ())) for index in range(2)])


@pytest.fixture(scope='module')
def undisturbed_by_two(place, tasks, tmp_path_factory) -> dict[str, object]:
  output = tmp_path_factory.mktemp('undisturbed')
  assert [code for code, _ in both(place, output, tasks)] == [0, 0]
  return result_of(output)


@pytest.mark.slow
@pytest.mark.parametrize('asked', [0, 1])
@pytest.mark.parametrize('moment', MOMENTS)
def test_both_stop_at_the_same_place_and_go_on_to_the_same_end(moment, asked, place, tasks, undisturbed_by_two, tmp_path):
  function, call, saved, done = MOMENTS[moment]
  flags = [(f'--at={function}', f'--call={call}', f'--send={"SIGTERM" if index == asked else "PAUSE"}', PAUSE) for index in range(2)]
  for code, said in both(place, tmp_path, tasks, *flags):
    assert code == Preempted.exit_code and 'asked to stop' in said.splitlines()[-1], said
  assert sorted(int(path.name.partition('.')[0]) for path in tmp_path.glob('stages/*/checkpoints/*.digest.json')) == saved
  assert [path.parent.name.partition('-')[0] for path in tmp_path.glob('stages/*/done.json')] == done
  for code, said in both(place, tmp_path, tasks):
    assert code == 0, said
  assert_same(result_of(tmp_path), undisturbed_by_two)
