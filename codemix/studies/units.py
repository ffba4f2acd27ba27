"""Units of work: prepare a split, train a stage, evaluate its checkpoint.

A runner executes each unit after those that it needs: `codemix.studies.serial` one after the other in this process.
"""

from __future__ import annotations

import dataclasses

from codemix.data.batches.stream import StreamedSource
from codemix.studies.planning import StudyPlan, scored_names
from codemix.training.stage import StagePlan


@dataclasses.dataclass(frozen=True)
class Prepare:
  """Prepares one split of a source."""

  source: str
  split: str

  @property
  def key(self) -> str:
    return f'prepare/{self.source}-{self.split}'

  @property
  def name(self) -> str:
    return f'prepare {self.source} {self.split}'

  @property
  def needs(self) -> tuple[str, ...]:
    return ()


@dataclasses.dataclass(frozen=True)
class Train:
  """Trains one stage.

  Attributes:
    stage: its plan.
    needs: keys of the units that come before: its parent, and the splits that it reads prepared.
  """

  stage: StagePlan
  needs: tuple[str, ...]

  @property
  def key(self) -> str:
    return f'train/{self.stage.folder_name}'

  @property
  def name(self) -> str:
    return f'train {self.stage.name}'


@dataclasses.dataclass(frozen=True)
class Evaluate:
  """Evaluates the checkpoint of a stage that is done.

  Attributes:
    stage: its plan.
    needs: keys of the units that come before: its training, and the splits that it is scored on.
  """

  stage: StagePlan
  needs: tuple[str, ...]

  @property
  def key(self) -> str:
    return f'evaluate/{self.stage.folder_name}'

  @property
  def name(self) -> str:
    return f'evaluate {self.stage.name}'


Unit = Prepare | Train | Evaluate


def units(plan: StudyPlan) -> list[Unit]:
  """The work of a study, each unit once and after those that it needs.

  A key names the same work in every plan: it holds the stage's hash.
  """
  prepared = [name for name, source in plan.sources.items() if not isinstance(source, StreamedSource)]
  training = {name: Prepare(name, 'train') for name in prepared}
  scored = [Prepare(name, 'validation') for name in scored_names(plan.study)]
  found: list[Unit] = [*training.values(), *scored]
  trained: dict[str, Train] = {}
  for stage in plan.stages():
    parent = [trained[stage.parent.hash].key] if stage.parent else []
    reads = [training[draw.source].key for draw in stage.draws if draw.source in training]
    trained[stage.hash] = train = Train(stage, (*parent, *reads))
    found += [train, Evaluate(stage, (train.key, *(split.key for split in scored)))]
  return found
