"""`codemix train` is launched cold and with its cache; its parts add up."""

from __future__ import annotations

import pytest

from codemix.benchmarks import start
from codemix.errors import CodemixError


def test_a_launch_comes_to_its_first_step_and_the_next_reads_what_it_compiled(tmp_path):
  figures = {figure.name: figure for figure in start.measure(tmp_path, start.Size(repeats=1))}
  for kind, goal in (('cold', 12), ('with the cache', 6)):
    whole = figures[f'first step, {kind}']
    assert (whole.goal, whole.unit, whole.more_is_better) == (goal, 's', False)
    parts = [figure.value for name, figure in figures.items() if name.startswith(f'  of that, {kind}: ')]
    assert sum(parts) == pytest.approx(whole.value)
    assert all(part > 0 for part in parts)
  # Each of these takes a tenth of a second that one jitted program would not.
  assert figures['  programs until then, cold'].value <= 6
  assert any(tmp_path.glob('compiled-0/jit_train_step-*'))
  assert not (tmp_path / 'output').exists()


def test_a_launch_that_fails_is_reported_with_its_last_line(tmp_path, monkeypatch):
  monkeypatch.setattr(start, 'RECIPE', ('--gin_file=recipes/none_such.gin',))
  with pytest.raises(CodemixError, match="came to no step: codemix train: the gin file 'recipes/none_such.gin' is not found"):
    start.launch(tmp_path, tmp_path / 'compiled')
