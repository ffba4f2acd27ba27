"""A save that fails in one of several processes ends all of them with its error, not with Orbax's time-out after minutes."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.storage import as_path
from tests import tiny_study
from tests.faults import together
from tests.faults.runs import assert_same, result_of

# What runs in the background of a save: in process 0 its end, in another its part of the arrays.
MOMENTS = {0: 'codemix.checkpoints.orbax_state:seal', 1: 'orbax.checkpoint._src.multihost.multihost:unique_barrier_key'}
# And in a bucket its beginning, in process 0: Orbax's notes in the folder of the step, and the folder of an item in it.
BEGINNING = (
  'orbax.checkpoint._src.metadata.checkpoint:_NonBlockingMetadataStore._write_and_log',
  'orbax.checkpoint._src.path.atomicity:_create_tmp_directory#2',
)


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


def test_a_save_that_fails_at_its_beginning_in_a_bucket_is_not_waited_for(bucket, place):
  """All wait for a folder that is not made, and Orbax, which first looks at its notes, does not get as far as that error."""
  root = as_path(bucket) / 'full_disk'
  data = root / 'data'
  tiny_study.prepare(data)
  port = together.free_port()
  fails = (*(f'--at={target}' for target in BEGINNING), '--send=FULL')
  members = [together.start(place, root / 'out', port, 2, index, *(() if index else fails), data=data) for index in range(2)]
  ended = together.ends(members)
  assert [code for code, _ in ended] == [UserError.exit_code] * 2, ended
  assert 'the disk is full' in ended[0][1].splitlines()[-1]
