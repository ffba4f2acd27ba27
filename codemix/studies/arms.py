"""Arms: recipes that differ in their seed alone."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType


@dataclasses.dataclass(frozen=True)
class Arm:
  """Recipes that differ in their seed alone, in the study's order; often it is one recipe."""

  name: str
  recipes: tuple[str, ...]


def group_arms(recipes: Mapping[str, tuple[Hashable, int | None]], called: Mapping[str, str] = MappingProxyType({})) -> list[Arm]:
  """The arms of recipes, in the order of their first ones.

  A copy of a recipe under a second name, with the same seed, gets an arm of its own.

  Args:
    recipes: by name: what identifies the recipe except for its seed, and its seed.
    called: what the arm of a recipe is called, by the recipe's name (`fields.arm_names`). Recipes without it were named by hand:
      their arm is called what their names have in common without their seeds.
  """
  members: dict[tuple[Hashable, int], dict[int | None, str]] = {}
  for name, (identity, seed) in recipes.items():
    copy = next(n for n in itertools.count() if seed not in members.get((identity, n), {}))
    members.setdefault((identity, copy), {})[seed] = name
  groups = [tuple(of_seeds.values()) for of_seeds in members.values()]
  names = [_called(group, called) or _name(group, [recipes[name][1] for name in group]) for group in groups]
  taken = collections.Counter([*names, *recipes])
  return [
    # If another arm or recipe has the name, the arm takes that of its first recipe.
    Arm(name if name in group or taken[name] == 1 else group[0], group)
    for name, group in zip(names, groups, strict=True)
  ]


def _called(recipes: Sequence[str], called: Mapping[str, str]) -> str:
  """What all of them say that their arm is called; '' if they do not agree."""
  found = {called.get(name, '') for name in recipes}
  return found.pop() if len(found) == 1 else ''


def _name(recipes: Sequence[str], seeds: Sequence[int | None]) -> str:
  """What the recipes' names have in common without their seeds, else the first one's."""
  stems = set(map(without_seed, recipes, seeds))
  stem = stems.pop()
  return stem if len(recipes) > 1 and not stems and stem else recipes[0]


def without_seed(name: str, seed: int | None) -> str:
  """'25% code, seed 1' and '25% code_s1' of seed 1 without it."""
  if seed is None:
    return name
  return re.sub(rf'([\s,;:_.\-/(\[]+(seed|run|rep|s|r)?|seed)[\s_=:.#\-]*(?<!\d){re.escape(str(seed))}[)\]]*$', '', name, flags=re.IGNORECASE)
