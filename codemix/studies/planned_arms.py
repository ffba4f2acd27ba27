"""The arms of a study that is not trained yet."""

from __future__ import annotations

import dataclasses

from codemix.studies.arms import Arm, group_arms
from codemix.studies.fields import arm_names
from codemix.studies.recipe import Study


def planned_arms(study: Study) -> list[Arm]:
  """The arms of the recipes as they are written (`group_arms`)."""
  alike = [dataclasses.replace(recipe, seed=0, description='', fields={}, baseline=None) for recipe in study.recipes.values()]
  return group_arms(
    {name: (alike.index(one), recipe.seed) for (name, recipe), one in zip(study.recipes.items(), alike, strict=True)},
    arm_names({name: recipe.fields for name, recipe in study.recipes.items()}),
  )
