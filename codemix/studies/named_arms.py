"""An arm and a stage of it, by the names that users give them."""

from __future__ import annotations

from collections.abc import Sequence

from codemix.errors import UserError, nearest
from codemix.studies.arms import Arm, without_seed
from codemix.studies.recipe import Study


def arm_named(study: Study, arms: Sequence[Arm], name: str, field: str) -> Arm:
  """The arm with a name, or of a recipe with it. Raises UserError if there is none.

  Args:
    field: that has the name, for the error.
  """
  # Of a single recipe 'code, seed 0' also 'code', so that the name stays when there are more seeds.
  stems = {without_seed(recipe, study.recipes[recipe].seed): arm for arm in reversed(arms) for recipe in arm.recipes}
  by_name = stems | {recipe: arm for arm in arms for recipe in arm.recipes} | {arm.name: arm for arm in arms}
  if name not in by_name:
    raise UserError(f"{field} is '{name}', which is not a recipe or an arm of the study ({', '.join(arm.name for arm in arms)}).{nearest(name, by_name)}")
  return by_name[name]


def stage_named(study: Study, arm: Arm, wanted: int | str | None, field: str, hint: str = '') -> int:
  """The index of a stage in the arm's recipes: by its place from 1, or its name, the last one that has it; None is the last stage.

  Raises UserError if there is none.

  Args:
    field: that has the name, for the error.
    hint: a sentence for the error of a name.
  """
  names = [stage.name for stage in study.recipes[arm.recipes[0]].stages]
  if wanted is None:
    return len(names) - 1
  if isinstance(wanted, int):
    if wanted > len(names):
      raise UserError(f"{field} is {wanted}, and '{arm.name}' has {len(names)} stage{'s'[: len(names) != 1]}.")
    return wanted - 1
  if wanted not in names:
    raise UserError(f"{field} is '{wanted}', which '{arm.name}' does not have ({', '.join(names)}).{nearest(wanted, names)}{hint}")
  return len(names) - 1 - names[::-1].index(wanted)
