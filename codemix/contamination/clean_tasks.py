"""Benchmark scores on the items that the model was not trained on.

An evaluation set that was searched for belongs to a task if one of its files has the bytes of one of
the task's. Its ids and the task's are the same: both are the field of the file that names an item, or
else the number of its row, from 0 (`EvaluationSet.read`, `Task.read`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from codemix.contamination.clean import clean_in, read_result
from codemix.evaluation.results import StoredResults
from codemix.evaluation.statistics import bits_per_byte

_COLUMNS = ('id', 'correct', 'gold_nats', 'gold_bytes')


def clean_task_scores(
  stages: Mapping[str, Mapping[str, StoredResults]], contamination: Path
) -> tuple[dict[str, dict[str, dict]], list[str]]:
  """The scores of models on the clean subset of the tasks whose sets were searched for.

  Raises UserError if the file of `codemix contamination`, or one with items, is missing or damaged.

  Args:
    stages: the results of tasks by name, by the folder of the stage.
    contamination: the file that `codemix contamination` wrote.

  Returns:
    By stage and task: 'items' and 'left_out', their numbers, and of the clean items 'score' and
    'gold_bits_per_byte', if there are any. And a sentence for each task or stage that the file does not cover although
    it has a set of the task's name or files.
  """
  result = read_result(contamination)
  known = {stage['stage'] for stage in result['stages']}
  scores: dict[str, dict[str, dict]] = {}
  reasons: dict[str, None] = {}
  for stage, tasks in stages.items():
    for task, stored in tasks.items():
      described = _set_of(task, stored, result['sets'])
      if described is None:
        if any(one['set'] == task for one in result['sets']):
          reasons[f'the set {task} of {contamination.name} was read from other files than the task {task}'] = None
        continue
      if stage not in known:
        reasons[f'{contamination.name} was made without stage {stage}'] = None
        continue
      items = stored.items(_COLUMNS)
      if 'id' not in items:
        continue
      ids = items['id'].astype(str)
      if unknown := sorted(set(ids.tolist()) - set(described['ids'])):
        reasons[f"the set {described['set']} of {contamination.name} has no item '{unknown[0]}' of the task {task}"] = None
        continue
      clean = np.isin(ids, clean_in(result, contamination, described['set'], stage))
      scores.setdefault(stage, {})[task] = _summary(items, clean)
  return scores, list(reasons)


def _set_of(task: str, stored: StoredResults, sets: Iterable[dict]) -> dict | None:
  """The searched set that has a file of the task; of several the one of its name, else the first."""
  data = stored.identity.get('data')
  files = set(data.values()) if isinstance(data, dict) else set()
  shared = [one for one in sets if files & set(one['digest'].values())]
  return next((one for one in shared if one['set'] == task), shared[0] if shared else None)


def _summary(items: Mapping[str, np.ndarray], clean: np.ndarray) -> dict[str, float]:
  found: dict[str, float] = {'items': int(clean.sum()), 'left_out': int((~clean).sum())}
  if not found['items']:
    return found
  if 'correct' in items and np.isfinite(items['correct']).all():
    found['score'] = float(items['correct'][clean].mean())
  if {'gold_nats', 'gold_bytes'} <= items.keys() and items['gold_bytes'][clean].sum() and np.isfinite(items['gold_nats']).all():
    found['gold_bits_per_byte'] = bits_per_byte(items['gold_nats'][clean], items['gold_bytes'][clean])
  return found
