"""Fields: what distinguishes a recipe within its study, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codemix.errors import UserError

Field = str | bool | int | float
ARM = 'arm'  # the field that says what a recipe is called without its seed


def require_field_names(fields: Iterable[str]) -> None:
  """Checks the names of fields, which are columns of tables.

  Raises UserError: one is not a word of letters, digits and _, or it is 'seed', which `Recipe.seed` is.
  """
  for name in fields:
    if not name.isidentifier():
      raise UserError(f"Recipe.fields has the name '{name}', which is a column of results.csv: write a word of letters, digits and _.")
    if name == 'seed':
      raise UserError("Recipe.fields has 'seed'; bind Recipe.seed, or Study.seeds for every recipe, and leave it out of the fields.")


def arm_names(fields: Mapping[str, Mapping[str, Field]]) -> dict[str, str]:
  """Of the recipes that have the field 'arm', what it says; by the recipe's name."""
  return {name: str(of[ARM]) for name, of in fields.items() if ARM in of}


def field_columns(fields: Mapping[str, Mapping[str, Field]]) -> dict[str, dict[str, Field | None]]:
  """The columns of tables of results, 'field_NAME', of each recipe; None for a field that only other recipes have.

  'arm' is left out: the tables have a column of that name, also for recipes without fields.
  """
  names = dict.fromkeys(name for of in fields.values() for name in of if name != ARM)
  return {recipe: {f'field_{name}': of.get(name) for name in names} for recipe, of in fields.items()}
