"""Results of evaluators are read as they were written, on a disk and in a bucket."""

from __future__ import annotations

import numpy as np
import pytest

from codemix.evaluation.results import Results, read_results, write_results
from codemix.storage import as_path


@pytest.mark.parametrize('storage', ['disk', 'bucket'])
def test_results_are_found_by_the_names_under_which_they_were_written(storage, tmp_path, request):
  folder = tmp_path if storage == 'disk' else as_path(f'{request.getfixturevalue("bucket")}/{tmp_path.name}')
  names = {'samples', 'tasks/a.b', 'tasks/group/c'}
  for name in names:
    write_results(folder, name, 6, {'checkpoint': 'c'}, Results({'nats': 3.0}, items={'nats': np.array([1.0, 2.0])}))
  write_results(folder, 'samples', 4, {'checkpoint': 'b'}, Results({'nats': 1.0}), before_end=True)
  found = read_results(folder)
  assert found.keys() == names and read_results(folder, 4).keys() == {'samples'}
  for stored in found.values():
    assert stored.step == 6 and stored.is_whole and stored.items()['nats'].tolist() == [1.0, 2.0]
