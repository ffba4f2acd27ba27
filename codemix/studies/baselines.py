"""What each recipe of a study is compared with: `Recipe.baseline`, or else `Study.baseline`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from codemix.errors import UserError, nearest

if TYPE_CHECKING:
  from codemix.studies.arms import Arm
  from codemix.studies.recipe import Recipe, Study


def require_baselines(recipes: Mapping[str, Recipe]) -> None:
  """Raises UserError if a recipe names a baseline that is not one of the recipes, or that trains another model."""
  for name, recipe in recipes.items():
    if recipe.baseline is None:
      continue
    if recipe.baseline not in recipes:
      raise UserError(
        f"Recipe.baseline of '{name}' is '{recipe.baseline}', which is not a recipe of the study ({', '.join(recipes)}).{nearest(recipe.baseline, recipes)}"
      )
    if recipe.model.identity() != recipes[recipe.baseline].model.identity():
      raise UserError(
        f"Recipe.baseline of '{name}' is '{recipe.baseline}', which trains another model: the change would not be of the mixture alone. Name a recipe of the same model."
      )


def require_one_baseline_an_arm(study: Study) -> None:
  """Raises UserError if recipes that differ in their seed alone have baselines of several arms."""
  from codemix.studies.planned_arms import planned_arms  # which imports `Study`

  if all(recipe.baseline is None for recipe in study.recipes.values()):
    return
  arms = planned_arms(study)
  arm_of = {recipe: arm.name for arm in arms for recipe in arm.recipes}
  for arm in arms:
    found = {arm_of[baseline_of(study, recipe)]: recipe for recipe in arm.recipes}
    if len(found) > 1:
      (one, first), (other, second), *_ = found.items()
      raise UserError(f"'{first}' is compared with '{one}' and '{second}' with '{other}', and they differ in their seed alone: give both a Recipe.baseline of one arm.")


def baseline_of(study: Study, recipe: str) -> str:
  """The recipe that one is compared with; it may be the recipe itself."""
  return study.recipes[recipe].baseline or study.baseline


def baseline_arm_of(study: Study, arms: list[Arm], arm: Arm) -> Arm:
  """The arm that an arm is compared with; it may be the arm itself."""
  wanted = baseline_of(study, arm.recipes[0])
  return next(base for base in arms if wanted in base.recipes)


def without_baseline(recipe: Recipe) -> Recipe:
  """The recipe for a study without the one that it is compared with."""
  return dataclasses.replace(recipe, baseline=None)
