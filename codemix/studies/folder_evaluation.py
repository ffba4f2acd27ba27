"""Evaluates a checkpoint by its folder alone, on benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
from jax.sharding import Mesh

from codemix.evaluation.evaluator import Evaluator, run_evaluators, unfinished
from codemix.evaluation.results import read_results
from codemix.files import require_writable
from codemix.studies.load_stage import FinishedStage
from codemix.training.goodput import TimeAccount


def evaluate_folder(
  stage: FinishedStage, evaluators: Sequence[Evaluator], mesh: Mesh | None = None, batch: int | None = None
) -> dict[str, Mapping[str, float]]:
  """Runs the evaluators that have not been run on the stage's checkpoint; all processes call it.

  Raises NonFiniteError if a score is not finite, and UserError if the folder cannot be written or the checkpoint is
  damaged.

  Args:
    batch: rows computed at a time; None for one in each of the mesh's batch shards.

  Returns:
    The scores by the evaluator's name.
  """
  model = stage.model(mesh, batch=batch)
  results = dict(read_results(stage.folder))
  if work := unfinished(evaluators, results, model):
    if not jax.process_index():
      require_writable(stage.folder, 0)
    with TimeAccount(None if jax.process_index() else stage.folder, 'evaluation'):
      results |= run_evaluators(work, model, stage.folder)
  return {evaluator.name: results[evaluator.name].scores for evaluator in evaluators}
