"""Executes units of work one after the other, in this process (and the others that train with it)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jax.sharding import Mesh

from codemix.studies.planning import StudyPlan
from codemix.studies.preflight import Ready
from codemix.studies.show import show_stage
from codemix.studies.stage_evaluation import evaluate_stage
from codemix.studies.units import Evaluate, Train, Unit
from codemix.training.loop import Trainer, done_for_all, train_stage
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan


def run_units(units: Sequence[Unit], ready: Ready, mesh: Mesh, runtime: Runtime, planning_s: float) -> None:
  """Trains and evaluates, in the order of the units; what is done already is not done again.

  A plan exists only of sources that are prepared, so `Prepare` has nothing to do here.

  Args:
    planning_s: seconds that planning took, which count as time of the first stage that is trained.

  Raises:
    CodemixError: as of `codemix.studies.runner.run_study`.
  """
  number = 0
  for unit in units:
    if isinstance(unit, Train):
      number += 1
      show_stage(ready.plan, unit.stage, number, runtime.output)
      if not done_for_all(runtime.output, unit.stage):
        train_stage(_trainer(ready.plan, unit.stage, mesh, runtime), unit.stage, time.monotonic() - planning_s)
        planning_s = 0.0
    elif isinstance(unit, Evaluate):
      evaluate_stage(ready.plan, unit.stage, mesh, runtime, ready.validation)


def _trainer(plan: StudyPlan, stage: StagePlan, mesh: Mesh, runtime: Runtime) -> Trainer:
  recipe = plan.recipe_of(stage)
  return Trainer(recipe.model, recipe.optimizer, plan.sources, mesh, runtime, plan.tokenizer.bos_id)
