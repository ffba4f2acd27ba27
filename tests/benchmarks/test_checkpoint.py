"""`codemix bench checkpoint` at a tiny size."""

import pytest

from codemix.benchmarks import checkpoint


def test_every_figure_of_a_checkpoint_is_there_and_nothing_is_left(tmp_path):
  figures = {f.name: f for f in checkpoint.measure(tmp_path, checkpoint.Size(mebibytes=1, arrays=2, repeats=1))}
  disk, stop, over, save, ratio, verify, restore = figures.values()
  assert '1 MiB in 2 arrays' in disk.name
  assert all(figure.value > 0 for figure in figures.values())
  assert over.value == pytest.approx(1e3 / stop.value)  # 1 MiB
  assert ratio.value == pytest.approx(save.value / disk.value)
  assert save.value < over.value
  assert verify.unit == restore.unit == 'MiB/s'
  assert not (tmp_path / 'plain').exists()
