"""A study as a list of commands, one for each unit, for whatever runs them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from codemix.studies.status import State, UnitStatus
from codemix.studies.units import Unit, place_of


@dataclasses.dataclass(frozen=True)
class UnitCommand:
  """A unit with the command that runs it.

  Attributes:
    needs: keys of the units that must be done before.
    words: of the command line.
  """

  unit: Unit
  state: State
  needs: tuple[str, ...]
  words: tuple[str, ...]

  @property
  def is_left(self) -> bool:
    """Whether it is to be run. What runs elsewhere now is refused there, and does no harm."""
    return self.state != 'done'

  def describe(self) -> dict:
    return {'unit': self.unit.key, 'state': self.state, 'needs': list(self.needs), 'command': shlex.join(self.words)}


def unit_commands(work: Sequence[Unit], statuses: Sequence[UnitStatus], output: str, gin_arguments: Sequence[str]) -> list[UnitCommand]:
  """The units that train and evaluate, in an order in which they may run.

  A plan exists only of sources that are prepared, so `codemix prepare` has run before.

  Args:
    statuses: of the same units.
    gin_arguments: the gin flags of the study.
  """
  states = {status.key: status.state for status in statuses}
  stages = [unit for unit in work if unit.kind != 'prepare']
  keys = {unit.key for unit in stages}
  return [
    UnitCommand(
      unit, states[place_of(output, unit)], tuple(need for need in unit.needs if need in keys), ('codemix', 'study', f'--unit={unit.key}', *gin_arguments)
    )
    for unit in stages
  ]
