"""Evaluates a finished stage's model: on held-out text, and by continuing the study's prompts."""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from codemix.evaluation.evaluator import Evaluator, run_missing
from codemix.evaluation.sampling import Sampling
from codemix.evaluation.tasks.task import PREFIX
from codemix.parallel import watchdog
from codemix.studies.load_stage import load_stage
from codemix.studies.preflight import Ready
from codemix.studies.show import show_scores
from codemix.studies.show_tasks import show_tasks
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, stage_folder


def evaluators(ready: Ready, stage_plan: StagePlan) -> list[Evaluator]:
  """What a stage is evaluated by, in order."""
  study, seed = ready.plan.study, ready.plan.recipe_of(stage_plan).seed
  return [*ready.validation.values(), *ready.tasks, Sampling(study.prompts, study.sample_tokens, seed)]


def evaluate_stage(ready: Ready, stage_plan: StagePlan, mesh: Mesh, runtime: Runtime) -> dict:
  """Runs the evaluators that have not been run on the stage's checkpoint.

  Returns:
    `step`, `checkpoint`, in `sources` the scores of each held-out source, and in `tasks` those of each benchmark.

  Raises:
    NonFiniteError: a document's score is not finite.
    UserError: the stage's folder cannot be written, another process evaluates it, or its checkpoint or stored
      results are damaged.
  """
  plan = ready.plan
  watchdog.at(f"the evaluation of stage '{stage_plan.name}'", compiles=True)
  folder = stage_folder(runtime.output, stage_plan)
  config, rows = plan.recipe_of(stage_plan).model, runtime.rows_at_once(stage_plan.stage.batch)
  model = load_stage(folder, plan.tokenizer).model(mesh, rules=runtime.rules, config=config, batch=rows)
  results, ran = run_missing(evaluators(ready, stage_plan), model, folder, alone=True)
  scores = {source: results[held_out.name].scores for source, held_out in ready.validation.items()}
  tasks = {task.name.removeprefix(PREFIX): results[task.name].scores for task in ready.tasks}
  if ran and not jax.process_index():
    show_scores(stage_plan.name, scores)
    show_tasks(f'  benchmarks after {stage_plan.name}', tasks)
  return {'step': model.step, 'checkpoint': model.checkpoint, 'sources': scores, 'tasks': tasks}
