"""A save that fails in one of several processes ends all of them with its error, not with Orbax's time-out after minutes."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from tests.faults import together
from tests.faults.runs import assert_same, result_of

# What runs in the background of a save: in process 0 its end, in another its part of the arrays.
MOMENTS = {0: 'codemix.checkpoints.orbax_state:seal', 1: 'orbax.checkpoint._src.multihost.multihost:unique_barrier_key'}


@pytest.mark.slow
@pytest.mark.parametrize('full', MOMENTS)
def test_a_disk_that_is_full_in_one_process_is_named_by_it_and_the_run_goes_on_when_there_is_space(full, place, tmp_path):
  port = together.free_port()
  fails = (f'--at={MOMENTS[full]}', '--send=FULL')
  members = [together.start(place, tmp_path / 'out', port, 2, index, *(fails if index == full else ())) for index in range(2)]
  ended = together.ends(members)
  assert [code for code, _ in ended] == [UserError.exit_code] * 2, ended
  assert 'the disk is full' in ended[full][1].splitlines()[-1]
  for output in ('out', 'undisturbed'):
    port = together.free_port()
    for code, said in together.ends([together.start(place, tmp_path / output, port, 2, index) for index in range(2)], within_s=300):
      assert code == 0, said
  assert_same(result_of(tmp_path / 'out'), result_of(tmp_path / 'undisturbed'))
