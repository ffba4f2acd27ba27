"""Evaluates a checkpoint by its folder alone, on benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jax.sharding import Mesh

from codemix.evaluation.evaluator import Evaluator, run_missing
from codemix.studies.load_stage import FinishedStage


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
  results, _ = run_missing(evaluators, model, stage.folder)
  return {evaluator.name: results[evaluator.name].scores for evaluator in evaluators}
