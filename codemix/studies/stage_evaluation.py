"""Evaluates a finished stage's model: on held-out text, and by continuing the study's prompts."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax.sharding import Mesh

from codemix.evaluation.evaluator import Evaluator, run_evaluators, unfinished
from codemix.evaluation.held_out import HeldOut
from codemix.evaluation.results import read_results
from codemix.evaluation.sampling import Sampling
from codemix.files import require_writable
from codemix.studies.load_stage import load_stage
from codemix.studies.planning import StudyPlan
from codemix.studies.show import show_scores
from codemix.training.goodput import TimeAccount
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, stage_folder


def evaluators(plan: StudyPlan, stage_plan: StagePlan, validation: Mapping[str, HeldOut]) -> list[Evaluator]:
  """What a stage is evaluated by, in order."""
  study, seed = plan.study, plan.recipe_of(stage_plan).seed
  return [*validation.values(), Sampling(study.prompts, study.sample_tokens, seed)]


def evaluate_stage(
  plan: StudyPlan, stage_plan: StagePlan, mesh: Mesh, runtime: Runtime, validation: Mapping[str, HeldOut]
) -> dict:
  """Runs the evaluators that have not been run on the stage's checkpoint.

  Args:
    validation: what is scored, by source.

  Returns:
    `step`, `checkpoint`, and in `sources` the scores of each source of `validation`.

  Raises:
    NonFiniteError: a document's score is not finite.
    UserError: the stage's folder cannot be written, or its checkpoint or stored results are
      damaged.
  """
  folder = stage_folder(runtime.output, stage_plan)
  config, rows = plan.recipe_of(stage_plan).model, runtime.rows_at_once(stage_plan.stage.batch)
  model = load_stage(folder, plan.tokenizer).model(mesh, rules=runtime.rules, config=config, batch=rows)
  results = read_results(folder)
  if work := unfinished(evaluators(plan, stage_plan, validation), results, model):
    if not jax.process_index():
      require_writable(folder, 0)
    with TimeAccount(None if jax.process_index() else folder, 'evaluation'):
      results |= run_evaluators(work, model, folder)
  scores = {source: results[held_out.name].scores for source, held_out in validation.items()}
  if work and not jax.process_index():
    show_scores(stage_plan.name, scores)
  return {'step': model.step, 'checkpoint': model.checkpoint, 'sources': scores}
