"""Arms: recipes that differ in their seed alone, and which recipe each is compared with."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from collections.abc import Sequence

from codemix.report.results import StudyResults


@dataclasses.dataclass(frozen=True)
class Arm:
  """Recipes that differ in their seed alone, in the study's order; often it is one recipe."""

  name: str
  recipes: tuple[str, ...]


def arms(study: StudyResults) -> list[Arm]:
  """The arms of a study, in the order of their first recipes.

  A copy of a recipe under a second name, with the same seed, gets an arm of its own.
  """
  members: dict[tuple[str, int], dict[int | None, str]] = {}
  for recipe in study.recipes.values():
    copy = next(n for n in itertools.count() if recipe.seed not in members.get((recipe.arm, n), {}))
    members.setdefault((recipe.arm, copy), {})[recipe.seed] = recipe.name
  groups = [tuple(recipes.values()) for recipes in members.values()]
  names = [_name(study, recipes) for recipes in groups]
  taken = collections.Counter([*names, *study.recipes])
  return [
    # If another arm or recipe has the name, the arm takes that of its first recipe.
    Arm(name if name in recipes or taken[name] == 1 else recipes[0], recipes)
    for name, recipes in zip(names, groups, strict=True)
  ]


def baselines(study: StudyResults) -> dict[str, str]:
  """The counterpart of each recipe: that of its model and seed in the baseline's arm.

  A recipe of the baseline's arm is compared with itself. For another model, the baseline's arm is
  the only arm of that model with the baseline's mixtures. A recipe without a counterpart has no
  entry.
  """
  if study.baseline is None:
    return {}
  found = {}
  for recipe in study.recipes.values():
    own = [study.recipes[name] for name in _baseline_arm(study, recipe.model_digest)]
    base = next((base for base in own if base.seed == recipe.seed), None)
    if base is not None:
      found[recipe.name] = base.name
  return found


def baseline_arms(study: StudyResults) -> set[str]:
  """All recipes that others are compared with, of every model and seed."""
  models = {recipe.model_digest for recipe in study.recipes.values()}
  return {name for model in models for name in _baseline_arm(study, model)}


def _baseline_arm(study: StudyResults, model: str) -> tuple[str, ...]:
  if study.baseline is None:
    return ()
  base = study.recipes[study.baseline]
  of_model = [arm for arm in arms(study) if study.recipes[arm.recipes[0]].model_digest == model]
  if base.model_digest == model:
    return next(arm.recipes for arm in of_model if study.baseline in arm.recipes)
  mixtures = _mixtures(study, study.baseline)
  alike = [arm.recipes for arm in of_model if mixtures and _mixtures(study, arm.recipes[0]) == mixtures]
  return alike[0] if len(alike) == 1 else ()


def _mixtures(study: StudyResults, recipe: str) -> list[dict[str, float]] | None:
  """The shares of each stage's sources; None until every stage is planned."""
  uses = [study.stages[folder].uses for folder in study.recipes[recipe].stages]
  return [{s: round(use['share'], 6) for s, use in of.items()} for of in uses] if all(uses) else None


def _name(study: StudyResults, recipes: Sequence[str]) -> str:
  """What the recipes' names have in common without their seeds, else the first one's."""
  stems = {_without_seed(name, study.recipes[name].seed) for name in recipes}
  stem = stems.pop()
  return stem if len(recipes) > 1 and not stems and stem else recipes[0]


def _without_seed(name: str, seed: int | None) -> str:
  """'25% code, seed 1' and '25% code_s1' of seed 1 without it."""
  if seed is None:
    return name
  return re.sub(rf'([\s,;:_.\-/(\[]+(seed|run|rep|s|r)?|seed)[\s_=:.#\-]*(?<!\d){re.escape(str(seed))}[)\]]*$', '', name, flags=re.IGNORECASE)
