"""What is known of a study's stages without training or reading a source: from a plan, or from `study.json` alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.evaluation.results import HELD_OUT_PREFIX, SAMPLES
from codemix.evaluation.tasks.task_evaluator import stored_name
from codemix.storage import FileName, as_path, read_json, require_form
from codemix.studies.arms import Arm, group_arms
from codemix.studies.fields import Field, arm_names
from codemix.studies.planned_arms import planned_arms
from codemix.studies.planning import StudyPlan, scored_names
from codemix.studies.recipe import Study
from codemix.training.stage import stage_folder


@dataclasses.dataclass(frozen=True)
class StageOutline:
  """A stage, in as many numbers as it takes to follow its progress.

  Attributes:
    folder: the name of its folder; before anything is prepared its hash is not known, and this is its name.
    parent: `folder` of the stage that it begins with; None for a first one.
    steps, tokens: of the stage; None if an earlier codemix wrote `study.json` and the stage has not begun.
    flops_per_token: of training; None as `steps`.
    recipes: the recipes that it is of. arms: theirs, which are called as the recipes without their seeds. seeds: theirs.
    sources: that it reads, if that is known.
  """

  folder: str
  parent: str | None
  steps: int | None
  tokens: int | None
  flops_per_token: float | None
  recipes: tuple[str, ...] = ()
  arms: tuple[str, ...] = ()
  seeds: tuple[int, ...] = ()
  sources: tuple[str, ...] = ()

  @property
  def shape(self) -> tuple[float, float] | None:
    """The same for stages whose steps take the same time: (FLOPs of a token, tokens of a step)."""
    return (self.flops_per_token, self.tokens / self.steps) if self.steps and self.tokens and self.flops_per_token else None

  def describe(self) -> dict[str, Any]:
    """Plain data for `study.json`."""
    return {'parent': self.parent, 'steps': self.steps, 'tokens': self.tokens, 'flops_per_token': self.flops_per_token}


def planned_outlines(plan: StudyPlan, output: str | Path) -> list[StageOutline]:
  """The distinct stages of a plan, parents first, with the folders that they have or will have in `output`."""
  arms = planned_arms(plan.study)
  folders = {stage.hash: stage_folder(output, stage).name for stage in plan.stages()}
  return [
    StageOutline(
      folders[stage.hash],
      folders[stage.parent.hash] if stage.parent else None,
      stage.steps,
      stage.tokens,
      plan.recipe_of(stage).model.flops_per_token(stage.length)['total'],
      users := tuple(name for name, plans in plan.recipes.items() if stage in plans),
      arms_of(users, arms),
      seeds_of(users, {name: recipe.seed for name, recipe in plan.study.recipes.items()}),
      tuple(draw.source for draw in stage.draws),
    )
    for stage in plan.stages()
  ]


def arms_of(recipes: Sequence[str], arms: Sequence[Arm]) -> tuple[str, ...]:
  """The names of the arms that some recipes are of."""
  return tuple(arm.name for arm in arms if not set(recipes).isdisjoint(arm.recipes))


def seeds_of(recipes: Sequence[str], seeds: Mapping[str, int | None]) -> tuple[int, ...]:
  """The seeds of some recipes, each once; one that is not known is left out."""
  return tuple(dict.fromkeys(seed for recipe in recipes if (seed := seeds.get(recipe)) is not None))


@dataclasses.dataclass(frozen=True)
class RecordedStudy:
  """What `study.json` says of a study.

  Attributes:
    evaluators: names of what evaluates every stage.
  """

  name: str
  stages: list[StageOutline]
  evaluators: list[str]


_STAGE = {'parent': str | None, 'steps': int | None, 'tokens': int | None, 'flops_per_token': float | None}
_RECIPE = {'arm': str, 'seed': int | None, 'fields': {...: Field}}
_PLAN = {'steps': int, 'tokens': int, 'flops_per_token': float}


def recorded_study(output: str | Path) -> RecordedStudy:
  """The study that was run last in a folder. Raises UserError if there is none, or its `study.json` is damaged."""
  folder = as_path(output)
  path = folder / 'study.json'
  if not path.is_file():
    raise UserError(f'{folder} is not the folder of a study: it has no study.json. Give the Runtime.output of `codemix study`, or its gin flags.')
  record = read_json(path, {'recipes': {...: {'stages': [FileName]}}})
  for recipe in record['recipes'].values():
    require_form(recipe, {key: form for key, form in _RECIPE.items() if key in recipe}, path)
  seeds = {name: recipe.get('seed') for name, recipe in record['recipes'].items()}
  arms = group_arms(
    {name: (recipe.get('arm', f"recipe '{name}'"), seeds[name]) for name, recipe in record['recipes'].items()},
    arm_names({name: recipe.get('fields', {}) for name, recipe in record['recipes'].items()}),
  )
  known = record.get('stages', {})
  require_form(known, {...: _STAGE}, path)
  users: dict[str, list[str]] = {}
  parents: dict[str, str | None] = {}
  for name, recipe in record['recipes'].items():
    for before, stage in zip([None, *recipe['stages']], recipe['stages'], strict=False):
      users.setdefault(stage, []).append(name)
      parents.setdefault(stage, before)
  # In the order in which they are first named, so parents first.
  stages = [
    dataclasses.replace(_recorded(stage, parents[stage], known.get(stage), folder), recipes=tuple(of), arms=arms_of(of, arms), seeds=seeds_of(of, seeds))
    for stage, of in users.items()
  ]
  evaluators = record.get('evaluators', [])
  require_form(evaluators, [str], path)
  return RecordedStudy(str(record.get('name', folder.name)), stages, list(dict.fromkeys(evaluators)))


def _recorded(stage: str, parent: str | None, known: Mapping[str, Any] | None, output: Path) -> StageOutline:
  if known is None:  # of an earlier codemix: its plan.json says it, once it has begun
    plan = output / 'stages' / stage / 'plan.json'
    known = read_json(plan, _PLAN) if plan.is_file() else dict.fromkeys(_PLAN)
  return StageOutline(stage, parent, known['steps'], known['tokens'], known['flops_per_token'])


def evaluator_names(study: Study) -> list[str]:
  """The names of what evaluates every stage, without reading an item."""
  asked = study.evaluation
  tasks = [stored_name(task.name, asked.shots) for task in asked.selected()] if asked else []
  return [*(f'{HELD_OUT_PREFIX}{source}' for source in scored_names(study)), *tasks, SAMPLES]
