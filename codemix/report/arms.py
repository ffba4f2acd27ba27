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
  """The counterpart of each recipe: that of its model and seed in the baseline's arm.

  A recipe of the baseline's arm is compared with itself. For another model, the baseline's arm is
  the only arm of that model with the baseline's mixtures. A recipe without a counterpart has no
  entry.
  """
  arm_of, found = baseline_arms(study), {}
  for recipe in study.recipes.values():
    own = [study.recipes[name] for name in arm_of[recipe.model_digest]]
    base = next((base for base in own if base.seed == recipe.seed), None)
    if base is not None:
      found[recipe.name] = base.name
  return found


def baseline_arms(study: StudyResults) -> dict[str, tuple[str, ...]]:
  """The recipes that those of a model are compared with, one per seed, by `model_digest`; () if there are none."""
  models = {recipe.model_digest: [] for recipe in study.recipes.values()}
  if study.baseline is None:
    return dict.fromkeys(models, ())
  for arm in arms(study):
    models[study.recipes[arm.recipes[0]].model_digest].append(arm)
  found = {model: baseline_arm(of_model, study.baseline, functools.partial(_mixtures, study)) for model, of_model in models.items()}
  return {model: base.recipes if base else () for model, base in found.items()}


def _mixtures(study: StudyResults, recipe: str) -> list[dict[str, float]] | None:
  """The shares of each stage's sources; None until every stage is planned."""
  uses = [study.stages[folder].uses for folder in study.recipes[recipe].stages]
  return [{s: round(use['share'], 6) for s, use in of.items()} for of in uses] if all(uses) else None
