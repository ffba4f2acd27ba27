"""The arms of a trained study, and which recipe each is compared with."""

from __future__ import annotations

import functools

from codemix.report.results import StudyResults
from codemix.studies.arms import Arm, group_arms
from codemix.studies.counterpart import baseline_arm
from codemix.studies.fields import arm_names


def arms(study: StudyResults) -> list[Arm]:
  """The arms of a study that was trained (`group_arms`)."""
  return group_arms(
    {recipe.name: (recipe.arm, recipe.seed) for recipe in study.recipes.values()},
    arm_names({recipe.name: recipe.fields for recipe in study.recipes.values()}),
  )


def baselines(study: StudyResults) -> dict[str, str]:
  """The counterpart of each recipe: that of its seed in the arm that it is compared with.

  A recipe of a baseline's arm is compared with itself. A recipe without a counterpart has no entry.
  """
  found = {}
  for name, runs in baseline_arms(study).items():
    base = next((run for run in runs if study.recipes[run].seed == study.recipes[name].seed), None)
    if base is not None:
      found[name] = base
  return found


def baseline_arms(study: StudyResults) -> dict[str, tuple[str, ...]]:
  """The recipes that each recipe is compared with, one per seed; () if there are none.

  They are the arm of its `Recipe.baseline`. Else they are the arm of the study's baseline, or, for another model, the only arm of
  that model with the baseline's mixtures.
  """
  if study.baseline is None:
    return dict.fromkeys(study.recipes, ())
  groups = arms(study)
  arm_of = {recipe: arm for arm in groups for recipe in arm.recipes}
  models: dict[str, list[Arm]] = {}
  for arm in groups:
    models.setdefault(study.recipes[arm.recipes[0]].model_digest, []).append(arm)
  of_model = {model: baseline_arm(members, study.baseline, functools.partial(_mixtures, study)) for model, members in models.items()}
  found = {name: arm_of[recipe.baseline] if recipe.baseline else of_model[recipe.model_digest] for name, recipe in study.recipes.items()}
  return {name: base.recipes if base else () for name, base in found.items()}


def _mixtures(study: StudyResults, recipe: str) -> list[dict[str, float]] | None:
  """The shares of each stage's sources; None until every stage is planned."""
  uses = [study.stages[folder].uses for folder in study.recipes[recipe].stages]
  return [{s: round(use['share'], 6) for s, use in of.items()} for of in uses] if all(uses) else None
