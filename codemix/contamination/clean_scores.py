"""Held-out scores on the documents that the model was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from codemix.contamination.clean import clean_items, find_set, read_result
from codemix.contamination.items import held_out_name
from codemix.errors import UserError
from codemix.evaluation.held_out import summary
from codemix.evaluation.results import StoredResults, of_held_out, read_results


def clean_scores(stage_folder: Path, sources: Iterable[str], contamination: Path) -> dict[str, dict]:
  """The scores of a stage's model on the clean subset of each held-out split.

  Raises UserError if the file is of other stages, or was made of another split than was scored.

  Args:
    stage_folder: has the results of the stage's evaluation.
    sources: those that it was scored on.
    contamination: the file that `codemix contamination` wrote.

  Returns:
    By source: the scores of `codemix.evaluation.held_out.summary`, and 'left_out', the number of documents that are not
    clean; only the counts if no document is clean.
  """
  result = read_result(contamination)
  stored = of_held_out(read_results(stage_folder))
  scores = {}
  for source in sources:
    name = held_out_name(source)
    if find_set(result, name, contamination)['digest']['store'] != stored[source].identity['store']:
      raise UserError(f"{contamination} was made of another held-out split of '{source}' than was scored. Run `codemix contamination` again.")
    documents = np.asarray(clean_items(contamination, name, stage_folder.name), np.int64)
    scores[source] = _clean_summary(stored[source], documents)
  return scores


def _clean_summary(stored: StoredResults, documents: np.ndarray) -> dict:
  items = stored.items()
  scored = items.get('documents', np.arange(len(items['nats'])))
  clean = np.isin(scored, documents)
  counts = {'documents': int(clean.sum()), 'left_out': int((~clean).sum())}
  if not counts['documents']:
    return counts
  return {**summary(*(items[key][clean] for key in ('nats', 'tokens', 'bytes'))), **counts}
