"""The ledger in a checkpoint is that of its step, however long the save takes to be written."""

from __future__ import annotations

import codemix
from codemix.checkpoints import Checkpoints
from codemix.storage import read_json
from tests import tiny_study


def test_the_ledger_that_is_saved_is_not_counted_on_while_the_save_is_written(tmp_path, monkeypatch, one_device):
  handed: list[tuple[int, dict]] = []
  save = Checkpoints.save

  def keeping(self, step, state, position):
    handed.append((step, position))
    save(self, step, state, position)

  monkeypatch.setattr(Checkpoints, 'save', keeping)
  data = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  recipe = tiny_study.recipe(tiny_study.stage('only', {'text': 0.5, 'code': 0.5}, 6))
  codemix.run_study(
    tiny_study.study(only=recipe), data, tiny_study.runtime(tmp_path / 'out', save_every=1)
  )
  # Looked at only now, when all steps have been counted.
  for step, position in handed:
    rows = sum(counts['rows'] for counts in position['realised'].values())
    assert rows == position['row'] == step * tiny_study.BATCH
  assert [step for step, _ in handed] == [1, 2, 3, 4, 5, 6]
  [ledger] = (tmp_path / 'out').glob('stages/*/ledger.json')
  assert sum(entry['rows'] for entry in read_json(ledger)['realised']) == 6 * tiny_study.BATCH
