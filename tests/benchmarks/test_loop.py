"""`codemix bench loop` at a size at which its figures mean nothing but are all there."""

import os

import pytest

from codemix.benchmarks import loop
from codemix.benchmarks.measuring import one_device_mesh
from codemix.errors import UserError


def test_every_figure_of_the_loop_is_there_and_follows_from_the_others(tmp_path):
  size = loop.Size(
    rows=2, length=16, layers=1, width=32, vocabulary=300, steps=4, warm_up=2, turns=1, interval=4, saves=2
  )
  figures = {figure.name: figure for figure in loop.measure(tmp_path, size)}
  rows, alone, step, ratio, save, share = figures.values()
  assert rows.value == 2
  assert [figure.unit for figure in figures.values()] == ['rows', 'ms', 'ms', 'x', 'ms', '%']
  assert ratio.value == alone.value / step.value  # of one turn
  assert (ratio.goal, ratio.more_is_better) == (0.97, True)
  assert (share.goal, share.more_is_better) == (3, False)


@pytest.mark.parametrize(
  ('fixed', 'of_a_row', 'rows'), [(0.0, 0.002, 10), (0.001, 0.004, 5), (1.0, 1.0, 1), (0.0, 1e-9, loop.MOST_ROWS)]
)
def test_as_many_rows_are_taken_as_make_a_step_long_enough(fixed, of_a_row, rows):
  assert loop.fitting_rows(lambda rows: fixed + of_a_row * rows) == rows


def test_the_time_of_a_step_is_that_of_one_among_several(monkeypatch):
  calls = []

  def medians(runs, **_):
    for run in runs.values():
      run()
    return dict.fromkeys(runs, 1.0)

  monkeypatch.setattr(loop, 'train_steps', lambda *_: lambda: calls.append(1))
  monkeypatch.setattr(loop, 'medians', medians)
  monkeypatch.setattr(loop, 'TIMED_STEPS', 4)
  size = loop.Size(length=16, layers=1, width=32, vocabulary=300)
  assert loop.step_seconds(size, 2, one_device_mesh()) == 0.25
  assert len(calls) == 4


def test_a_save_costs_what_its_half_of_the_interval_takes_beyond_the_quiet_half():
  seconds = [9, 9, 9, 9, 3, 2, 1, 1, 2, 2, 1, 1, 8, 8, 2, 2]  # the costs: 3, 2 and 12 s
  assert loop.save_cost(seconds, interval=4) == (3, 3 / (4 * 1))


def test_the_host_must_be_left_a_core_and_gets_all_of_them_back(tmp_path):
  cores = os.sched_getaffinity(0)
  with pytest.raises(UserError, match=f'step_cores={len(cores)}: of {len(cores)} cores, the host needs one'):
    next(loop.measure(tmp_path, loop.Size(step_cores=len(cores))))
  if len(cores) > 1:
    with loop.separate_cores(1):
      assert len(os.sched_getaffinity(0)) == len(cores) - 1
  assert os.sched_getaffinity(0) == cores
