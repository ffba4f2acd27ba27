"""The stages of a study whose data are not prepared yet: hashes, and so the names of folders, are not known."""

from __future__ import annotations

from codemix.planner.stages import planned_stages
from codemix.studies.outline import StageOutline, arms_of, seeds_of
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study


def outlines_before_preparing(study: Study) -> list[StageOutline]:
  """The distinct stages, parents first, under the names 'RECIPE/STAGE', RECIPE being the first one that has it; 'RECIPE/STAGE-2' is the second such stage of it.

  Raises UserError as `codemix.planner.stages.planned_stages`.
  """
  found: dict[tuple[str, int], str] = {}  # (recipe, position) -> name
  outlines, arms = [], planned_arms(study)
  seeds = {name: recipe.seed for name, recipe in study.recipes.items()}
  for planned in planned_stages(study):
    alike = planned.path.count(planned.stage.name)
    name = f'{planned.recipes[0]}/{planned.stage.name}{f"-{alike}" if alike > 1 else ""}'
    found |= {(recipe, planned.position): name for recipe in planned.recipes}
    outlines.append(
      StageOutline(
        name,
        found.get((planned.recipes[0], planned.position - 1)),
        planned.steps,
        planned.tokens,
        planned.recipe.model.flops_per_token(planned.recipe.length)['total'],
        tuple(planned.recipes),
        arms_of(planned.recipes, arms),
        seeds_of(planned.recipes, seeds),
        tuple(planned.stage.mixtures().drawn()),
      )
    )
  return outlines
