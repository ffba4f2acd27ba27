"""`codemix bench checkpoint` at a tiny size."""

import numpy as np
import pytest

from codemix.benchmarks import checkpoint
from codemix.errors import UserError

TINY = checkpoint.Size(mebibytes=1, arrays=2, repeats=1)


def test_every_figure_of_a_checkpoint_is_there_and_nothing_plain_is_left(tmp_path):
  figures = list(checkpoint.measure(tmp_path, TINY))
  assert '1 MiB in 2 arrays' in figures[0].name
  assert [f.unit for f in figures] == ['MiB/s', 'ms', 'MiB/s', 'ms', 'MiB/s', 'x', 'MiB/s', 'MiB/s']
  assert all(figure.value > 0 for figure in figures)
  assert not (tmp_path / 'plain').exists()


def test_each_part_is_timed_for_itself_and_a_save_is_its_stop_and_the_rest(tmp_path, monkeypatch):
  # The disk, the digests, the stop of a save, its rest, verifying, restoring; the first turn only warms up.
  clock = iter([9, 9, 9, 9, 9, 9, 1 / 2, 1 / 16, 1 / 8, 7 / 8, 1 / 4, 1 / 16])

  def seconds(work):
    work()
    return next(clock)

  monkeypatch.setattr(checkpoint, 'seconds', seconds)
  figures = [figure.value for figure in checkpoint.measure(tmp_path, TINY)]
  assert figures == [2, 125, 8, 62.5, 1, 1 / 2, 4, 16]  # of 1 MiB
  assert not list(clock)


def test_the_disk_is_given_the_bytes_of_every_array(tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint, 'BLOCK', 24)
  arrays = [np.arange(10, dtype=np.float32), np.arange(5, dtype=np.float32) - 3]
  checkpoint.write_plain(tmp_path / 'plain', arrays)
  assert (tmp_path / 'plain').read_bytes() == b''.join(array.tobytes() for array in arrays)


def test_a_state_has_a_number_for_each_array():
  with pytest.raises(UserError, match='--size=arrays=262145: that is more than the numbers in 1 MiB'):
    checkpoint.Size(mebibytes=1, arrays=262145)
