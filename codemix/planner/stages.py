"""The stages of a study and their steps, computed without reading a source."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from codemix.errors import UserError
from codemix.planner.programs import EVALUATE, TRAIN, Step
from codemix.studies.planning import scored_names
from codemix.studies.recipe import Recipe, Study
from codemix.studies.starts import open_start, rates_before
from codemix.training.runtime import Runtime
from codemix.training.stage import Stage, rates_of
from codemix.training.train_state import state_bytes


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedStage:
  """A stage that is trained once for all recipes that begin with the same stages.

  Attributes:
    path: names of the stages up to this one; before them 'from NAME' of the start, if there is one.
    recipes: names of the recipes that share it.
    recipe: one of those recipes.
    parent: the stage before it in the recipe, or None.
  """

  path: tuple[str, ...]
  recipes: list[str]
  recipe: Recipe
  stage: Stage
  steps: int
  parent: PlannedStage | None = None

  @property
  def position(self) -> int:
    """In each of its recipes, from 1."""
    return self.parent.position + 1 if self.parent else 1

  @property
  def tokens(self) -> int:
    return self.steps * self.stage.batch * self.recipe.length

  def train_step(self) -> Step:
    return Step(TRAIN, self.recipe.model, self.recipe.optimizer, self.stage.batch, self.recipe.length)

  def checkpoint_bytes(self) -> int:
    """Size of one checkpoint."""
    return state_bytes(self.recipe.model, self.recipe.optimizer)

  def checkpoints_written(self, runtime: Runtime) -> int:
    return -(-self.steps // runtime.save_every)

  def checkpoints_kept(self, runtime: Runtime) -> int:
    """The most that are kept during training, without the one that is being written."""
    written = self.checkpoints_written(runtime)
    if runtime.keep is None:
      return written
    for_ever = self.steps // runtime.keep_every if runtime.keep_every else 0
    return min(runtime.keep + for_ever, written)


def planned_stages(study: Study) -> list[PlannedStage]:
  """Each distinct stage once, recipe by recipe.

  Raises UserError if a stage is shorter than a step, its schedule is not valid for its steps, or a
  start cannot be begun with.
  """
  planned: dict[str, PlannedStage] = {}
  for name, recipe in study.recipes.items():
    of_recipe = (recipe.model.identity(), recipe.optimizer.identity(), recipe.length, recipe.seed)
    start = open_start(recipe, f"recipe '{name}'")
    rates, path = rates_before(start), (f'from {start.name}',) if start else ()
    lineage, parent = repr((of_recipe, start.hash if start else None)), None
    for stage in recipe.stages:
      steps = stage.steps(recipe.length)
      try:
        rates = rates_of(stage, steps, rates)
      except UserError as error:
        raise UserError(f"recipe '{name}', stage '{stage.name}': {error}") from None
      # This replaces the stage's identity, which needs the sources: here all documents have one length.
      handoff = (stage.handoff.weights, stage.handoff.optimizer, stage.handoff.step) if path else ()
      drawn = stage.mixtures().drawn()
      mixture = stage.mixtures().resolve(dict.fromkeys(drawn, Fraction(1))).describe(stage.tokens)
      lineage += repr((steps, stage.batch, rates.described, handoff, sorted(stage.rewind), mixture))
      path += (stage.name,)
      if lineage not in planned:
        planned[lineage] = PlannedStage(path, [], recipe, stage, steps, parent)
      planned[lineage].recipes.append(name)
      parent = planned[lineage]
  return list(planned.values())


def distinct_steps(study: Study, stages: list[PlannedStage], runtime: Runtime) -> list[Step]:
  """Every program that the stages run: train steps and, if anything is scored, evaluation steps."""
  trained = list(dict.fromkeys(stage.train_step() for stage in stages))
  scored = [
    dataclasses.replace(step, kind=EVALUATE, batch=runtime.rows_at_once(step.batch)) for step in trained
  ]
  return [*trained, *(scored if scored_names(study) else [])]
