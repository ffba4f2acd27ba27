"""Units of work: prepare a split, train a stage, evaluate its checkpoint."""

from __future__ import annotations

import dataclasses
from typing import Literal

from codemix.studies.planning import StudyPlan, scored_names
from codemix.training.stage import StagePlan


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
