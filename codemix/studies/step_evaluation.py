"""Evaluates checkpoints before a stage's end: in the training loop, or beside it from what it saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jax.sharding import Mesh

from codemix.evaluation.evaluator import Evaluator, run_missing
from codemix.evaluation.model import Model
from codemix.models.decoder import Params
from codemix.studies.load_stage import FinishedStage
from codemix.studies.preflight import Ready
from codemix.training.loop import Evaluate
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, stage_folder
from codemix.training.stage_record import read_stage


def checkpoint_identity(stage_hash: str, step: int) -> str:
  """What names the parameters of a step in results: the stage's plan decides them bitwise, saved or not."""
  return f'{stage_hash}@{step}'


def evaluate_steps(ready: Ready, stage_plan: StagePlan, mesh: Mesh, runtime: Runtime) -> Evaluate:
  """The function that the training loop calls: it evaluates a step's parameters, unless that was done.

  What is evaluated: the held-out sources and the study's benchmarks.
  """
  folder = stage_folder(runtime.output, stage_plan)
  evaluators = [*ready.validation.values(), *ready.tasks]
  config, rows = ready.plan.recipe_of(stage_plan).model, runtime.rows_at_once(stage_plan.stage.batch)

  def evaluate(step: int, params: Params) -> None:
    identity = checkpoint_identity(stage_plan.hash, step)
    tokenizer, length = ready.plan.tokenizer, stage_plan.length
    model = Model(stage_plan.name, step, identity, config, tokenizer, length, rows, mesh, runtime.rules, lambda: params)
    run_missing(evaluators, model, folder, before_end=True)

  return evaluate


def evaluate_saved_step(
  stage: FinishedStage, evaluators: Sequence[Evaluator], mesh: Mesh | None = None, batch: int | None = None
) -> dict[str, Mapping[str, float]]:
  """Runs the evaluators that have not been run on a checkpoint before the stage's end.

  Args:
    stage: of `codemix.studies.load_stage.load_step`.
    batch: rows computed at a time; None for one in each of the mesh's batch shards.

  Returns:
    The scores by the evaluator's name.
  """
  identity = checkpoint_identity(read_stage(stage.folder)['hash'], stage.step)
  model = dataclasses.replace(stage.model(mesh, batch=batch), checkpoint=identity)
  results, _ = run_missing(evaluators, model, stage.folder, before_end=True)
  return {evaluator.name: results[evaluator.name].scores for evaluator in evaluators}
