"""The items of a task and of the evaluation set of the same file have the same ids, so that clean ones are found by id."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemix.contamination.items import EvaluationSet
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.raw.storage import digest_of
from codemix.evaluation.tasks.registry import TASKS

FOLDER = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'eval'


@pytest.mark.parametrize(
  ('task', 'file'),
  [
    ('boolq', 'boolq/*'), ('piqa', 'piqa/*.jsonl'), ('social_iqa', 'socialiqa/*.jsonl'), ('copa', 'copa/*'), ('winogrande', 'winogrande/*'),
    ('arc_easy', 'arc/*'), ('openbookqa', 'openbookqa/*'), ('hellaswag', 'hellaswag/*'), ('truthfulqa_mc1', 'truthfulqa/*'),
  ],
)  # fmt: skip
def test_a_task_and_the_set_of_its_file_name_items_alike(task, file):
  if not FOLDER.is_dir():
    pytest.skip(f'{FOLDER} has no released sets')
  items = TASKS[task].read(EvaluationFolder(FOLDER))
  digests = set(items.data.values())
  own = [str(path) for path in sorted(FOLDER.glob(file)) if digest_of(str(path)) in digests]
  found = EvaluationSet(task, own[0]).read()
  assert {item.id for item in items.items} <= {item.id for item in found.items}
  assert set(found.digest.values()) & digests
