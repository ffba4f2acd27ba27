"""The sources that a study names: those that it trains on, and those that score its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from codemix.studies.recipe import Study


def source_names(study: Study) -> list[str]:
  """The sources that the study trains on, in the order in which they are first named."""
  return list(
    dict.fromkeys(
      name for recipe in study.recipes.values() for stage in recipe.stages for name in stage.mixtures().drawn()
    )
  )


def scored_names(study: Study) -> list[str]:
  """The sources that score every stage: Study.validation, and those of weight 0 in a mixture."""
  weightless = [
    name for recipe in study.recipes.values() for stage in recipe.stages for name in stage.mixtures().evaluated_only()
  ]
  return list(dict.fromkeys([*study.validation, *(name for name in weightless if name not in source_names(study))]))
