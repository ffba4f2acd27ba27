"""Executes units of work one after the other, in each process of the run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from jax.sharding import Mesh

from codemix.studies.preflight import Ready
from codemix.studies.show import show_stage
from codemix.studies.stage_evaluation import evaluate_stage
from codemix.studies.step_evaluation import evaluate_steps
from codemix.studies.units import Unit
from codemix.training.loop import Trainer, done_for_all, train_stage
from codemix.training.runtime import Runtime


def run_units(units: Sequence[Unit], ready: Ready, mesh: Mesh, runtime: Runtime, planning_s: float) -> None:
  """Trains and evaluates, in the order of the units; what is done already is not done again.

  A plan exists only of sources that are prepared, so units that prepare have nothing to do here.
  Raises CodemixError as `codemix.studies.runner.run_study` does.

  Args:
    planning_s: seconds that planning took, which count as time of the first stage that is trained.
  """
  plan, numbers = ready.plan, itertools.count(1)
  for unit in units:
    if unit.kind == 'train':
      show_stage(plan, unit.stage, next(numbers), runtime.output)
      if not done_for_all(runtime.output, unit.stage):
        recipe = plan.recipe_of(unit.stage)
        trainer = Trainer(recipe.model, recipe.optimizer, plan.sources_of(unit.stage.length), mesh, runtime, plan.tokenizer.bos_id)
        every = unit.stage.stage.evaluate_every
        evaluate = evaluate_steps(ready, unit.stage, mesh, runtime) if every else None
        train_stage(trainer, unit.stage, time.monotonic() - planning_s, evaluate)
        planning_s = 0.0
    elif unit.kind == 'evaluate':
      evaluate_stage(ready, unit.stage, mesh, runtime)
