"""Units of work: prepare a split, train a stage, evaluate its checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from codemix.errors import UserError, nearest
from codemix.studies.planning import StudyPlan, scored_names
from codemix.training.stage import StagePlan, stage_folder

_SHOWN = 4  # units that a message names


@dataclasses.dataclass(frozen=True)
class Unit:
  """One unit; a runner such as `codemix.studies.serial` executes it after those that it needs.

  Attributes:
    kind: what is done.
    name: to what: SOURCE-SPLIT, or the stage's name and the beginning of its hash, so that equal
      work has equal names.
    needs: keys of the units that come before.
    stage: the plan of the stage; None for 'prepare'.
  """

  kind: Literal['prepare', 'train', 'evaluate']
  name: str
  needs: tuple[str, ...] = ()
  stage: StagePlan | None = None

  @property
  def key(self) -> str:
    return f'{self.kind}/{self.name}'


def units(plan: StudyPlan) -> list[Unit]:
  """The units of a study, each after those that it needs; streamed sources are not prepared."""
  prepared = [name for name, source in plan.sources.items() if not source.streamed]
  training = {name: Unit('prepare', f'{name}-train') for name in prepared}
  scored = [Unit('prepare', f'{name}-validation') for name in scored_names(plan.study)]
  found = [*training.values(), *scored]
  for stage in plan.stages():
    parent = [f'train/{stage.parent.folder_name}'] if stage.parent else []
    reads = [training[draw.source].key for draw in stage.draws if draw.source in training]
    train = Unit('train', stage.folder_name, (*parent, *reads), stage)
    found += [train, Unit('evaluate', stage.folder_name, (train.key, *(split.key for split in scored)), stage)]
  return found


def place_of(output: str | Path, unit: Unit) -> str:
  """KIND/FOLDER, FOLDER being that of the stage's results: it has another name than the unit if the stage was renamed since."""
  return f'{unit.kind}/{stage_folder(output, unit.stage).name}' if unit.stage else unit.key


def find_units(wanted: Sequence[str], units: Sequence[Unit]) -> list[Unit]:
  """The units that are named: by their key, its beginning, or KIND/STAGE; in the order in which they may run.

  Raises UserError for a name of none or of several; the message has the nearest one, or those.
  """
  chosen = {_find(name, units).key for name in wanted}
  return [unit for unit in units if unit.key in chosen]


def _find(name: str, units: Sequence[Unit]) -> Unit:
  rules = (
    lambda unit: unit.key == name,
    lambda unit: unit.stage is not None and f'{unit.kind}/{unit.stage.name}' == name,
    lambda unit: unit.key.startswith(name),
  )
  for matches in rules:
    found = [unit for unit in units if matches(unit)]
    if len(found) == 1:
      return found[0]
    if found:
      raise UserError(f"--unit={name} names {len(found)} units: {', '.join(unit.key for unit in found[:_SHOWN])}{', ...' if found[_SHOWN:] else ''}. Write more of the one that you mean.")
  raise UserError(f"no unit is named '{name}'.{nearest(name, [unit.key for unit in units])} `codemix study --list_commands` with the same gin flags lists them.")
