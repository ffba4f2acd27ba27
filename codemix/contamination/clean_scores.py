"""Held-out scores on the documents that the model was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codemix.contamination.clean import clean_items, find_set, read_result
from codemix.contamination.items import held_out_name
from codemix.errors import UserError
from codemix.evaluation.held_out import DocumentScores


def clean_scores(stage_folder: Path, evaluation: dict, contamination: Path) -> dict[str, dict]:
  """The scores of a stage's model on the clean subset of each held-out split.

  Args:
    stage_folder: of the stage, with `evaluation/<source>.npz`.
    evaluation: what its `evaluation.json` holds.
    contamination: the file that `codemix contamination` wrote.

  Returns:
    By source: what `DocumentScores.summary` gives, and 'left_out', the number of documents that are not clean;
    without a clean document only the counts.

  Raises:
    UserError: the file is of other stages, or was made of another split than was scored.
  """
  result = read_result(contamination)
  scores = {}
  for source, digest in evaluation['identity']['sources'].items():
    name = held_out_name(source)
    if find_set(result, name, contamination)['digest']['store'] != digest:
      raise UserError(f"{contamination} was made of another held-out split of '{source}' than was scored. Run `codemix contamination` again.")
    documents = np.asarray(clean_items(contamination, name, stage_folder.name), np.int64)
    scores[source] = _summary(stage_folder / 'evaluation' / f'{source}.npz', documents)
  return scores


def _summary(path: Path, documents: np.ndarray) -> dict:
  with np.load(path) as file:
    nats, tokens, sizes = (file[key] for key in ('nats', 'tokens', 'bytes'))
    scored = file['documents'] if 'documents' in file else np.arange(len(nats))
  clean = np.isin(scored, documents)
  counts = {'documents': int(clean.sum()), 'left_out': int((~clean).sum())}
  if not counts['documents']:
    return counts
  return {**DocumentScores(nats[clean], tokens[clean], sizes[clean]).summary(), **counts}
