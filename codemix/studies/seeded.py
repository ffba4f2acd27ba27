"""Recipes of a study, joined from several dictionaries and repeated with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from codemix.errors import UserError
from codemix.studies.fields import ARM

if TYPE_CHECKING:
  from codemix.studies.recipe import Recipe


def joined(recipes: Mapping[str, Recipe] | Sequence[Mapping[str, Recipe]]) -> Mapping[str, Recipe]:
  """One dictionary of several, in their order.

  Raises UserError if a name is in two of them, or there is no recipe.
  """
  if isinstance(recipes, Mapping):
    return recipes
  found: dict[str, Recipe] = {}
  for each in recipes:
    if twice := next((name for name in each if name in found), None):
      raise UserError(f"Study.recipes joins dictionaries of which two have the recipe '{twice}': give one of them another name.")
    found.update(each)
  if not found:
    raise UserError('Study.recipes joins dictionaries without any recipe: name at least one.')
  return found


def seeded(recipes: Mapping[str, Recipe], seeds: Sequence[int]) -> tuple[dict[str, Recipe], dict[str, str]]:
  """Each recipe once with each seed: 'NAME, seed 0', 'NAME, seed 1', ...; with one seed the names stay.

  The field 'arm' of each is the name that it had, and its `baseline` the repetition with the same seed.

  Raises UserError: a seed is there twice, or a recipe has a seed of its own.

  Returns:
    The recipes, and the name of the first repetition of each by its own name.
  """
  if len(set(seeds)) < len(seeds):
    raise UserError(f'Study.seeds has a seed twice: {", ".join(map(str, seeds))}.')
  found: dict[str, Recipe] = {}
  first: dict[str, str] = {}
  for name, recipe in recipes.items():
    if recipe.seed:
      raise UserError(f"Study.seeds repeats every recipe, and '{name}' has Recipe.seed {recipe.seed} of its own: leave one of them out.")
    for seed in seeds:
      called = lambda of, seed=seed: f'{of}, seed {seed}' if len(seeds) > 1 else of
      repeated = called(name)
      found[repeated] = dataclasses.replace(recipe, seed=seed, fields={**recipe.fields, ARM: name}, baseline=recipe.baseline and called(recipe.baseline))
      first.setdefault(name, repeated)
  return found, first
