"""Runs a study: plan, train each stage once, evaluate it."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import jax
from jax.sharding import Mesh

from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.files import write_json
from codemix.parallel.mesh import make_mesh
from codemix.parallel.processes import barrier
from codemix.studies import announce, provenance
from codemix.studies.finished import keep_tokenizer
from codemix.studies.machine import check_layouts
from codemix.studies.planning import StudyPlan, scored_names
from codemix.studies.preflight import check_unlocked, open_study, preflight
from codemix.studies.recipe import Study
from codemix.studies.stage_evaluation import evaluate_stage
from codemix.studies.stage_names import find_stages
from codemix.training.loop import BARRIER_TIMEOUT_S, Trainer, train_stage
from codemix.training.preemption import stopping_at_once
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, is_done, stage_folder


def run_study(study: Study, data: Data, runtime: Runtime, command: str = '') -> Path:
  """Trains and evaluates every stage of every recipe, each shared beginning once.

  Everything must be prepared. However often it is interrupted, the same call
  goes on where it was, and a finished study takes seconds.

  Args:
    command: the command line, kept in the study's provenance.

  Returns:
    The output folder, with `study.json`.
  """
  began = time.monotonic()
  mesh = make_mesh(runtime.mesh)
  ready = preflight(study, data, runtime, mesh)
  plan, validation = ready.plan, ready.validation
  check_unlocked(plan, runtime)
  if not jax.process_index():
    announce.show_plan(plan, validation, runtime.placement(mesh), runtime.output, sys.stderr)
    write_json(Path(runtime.output) / 'study.json', _describe(plan, runtime, command))
    keep_tokenizer(Path(runtime.output), plan.tokenizer, data.tokenizer_path)
  planning = time.monotonic() - began
  with stopping_at_once():
    for number, stage_plan in enumerate(plan.stages(), 1):
      trainer = _trainer(plan, stage_plan, mesh, runtime)
      announce.show_stage(plan, stage_plan, number, runtime.output)
      if not is_done(runtime.output, stage_plan):
        # Planning anew is part of the first stage's time; evaluating those before it is not.
        train_stage(trainer, stage_plan, time.monotonic() - planning)
        planning = 0.0
      evaluate_stage(plan, stage_plan, trainer, validation)
  # A process that has its scores may not leave while others still exchange theirs.
  barrier('study', BARRIER_TIMEOUT_S)
  return Path(runtime.output)


def evaluate_finished(study: Study, data: Data, runtime: Runtime, wanted: str | None = None) -> dict[str, dict]:
  """Evaluates every stage that is finished, where that was not done already.

  Args:
    wanted: names stages (`find_stages`); no others are evaluated.

  Returns:
    `evaluation.json` of each, with the stage's name, by folder.

  Raises:
    UserError: none is finished, of those wanted.
  """
  mesh = make_mesh(runtime.mesh)
  check_layouts(study, runtime, mesh)
  ready = open_study(study, data)
  plan = ready.plan
  stages = plan.stages() if wanted is None else find_stages(wanted, plan.stages())
  results = {}
  for stage_plan in stages:
    if is_done(runtime.output, stage_plan):
      trainer = _trainer(plan, stage_plan, mesh, runtime)
      result = evaluate_stage(plan, stage_plan, trainer, ready.validation)
      results[str(trainer.folder(stage_plan))] = {'stage': stage_plan.stage.name, **result}
  if not results:
    which = ', '.join(dict.fromkeys(p.name for p in stages))
    raise UserError(f'nothing to evaluate: of the stages {which} none is finished in {runtime.output}. `codemix train` with the same gin files trains them.')
  return results


def _trainer(plan: StudyPlan, stage_plan: StagePlan, mesh: Mesh, runtime: Runtime) -> Trainer:
  recipe = plan.recipe_of(stage_plan)
  return Trainer(recipe.model, recipe.optimizer, plan.sources, mesh, runtime, plan.tokenizer.bos_id)


def _describe(plan: StudyPlan, runtime: Runtime, command: str) -> dict:
  study = plan.study
  model = next(iter(study.recipes.values())).model
  return {
    'name': study.name,
    'baseline': study.baseline,
    'note': study.note,
    'validation': scored_names(study),
    'recipes': {
      name: {
        'description': study.recipes[name].description,
        'stages': [stage_folder(runtime.output, p).name for p in plans],
      }
      for name, plans in plan.recipes.items()
    },
    'savings': plan.savings(),
    'model': {**dataclasses.asdict(model), 'parameters': model.parameter_count()['total']},
    'provenance': provenance.collect(plan, command),
  }
