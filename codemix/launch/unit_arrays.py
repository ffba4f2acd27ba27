"""The units of a study as job arrays: those that are alike share one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

MOST_TASKS = 1000  # of an array: SLURM's MaxArraySize is 1001 by default, and the highest index is one less

Children = Mapping[str, Mapping[str | None, Sequence[str]]]  # by kind: a unit -> the units that need it; None -> those that need none


@dataclasses.dataclass(frozen=True)
class UnitArray:
  """Units of one kind that are submitted together.

  Attributes:
    name: such as 'train-1', with the position of the array among all.
    units: keys of the units by the indices of their tasks.
    needs: name of the array with the units that they need; None if they need none.
    task: index of the one task there that all need; None if each needs the task of its own index.
  """

  name: str
  units: Mapping[int, str]
  needs: str | None = None
  task: int | None = None


def unit_arrays(needs: Mapping[str, Sequence[str]], most: int = MOST_TASKS) -> list[UnitArray]:
  """Arrays of all units, each after the one that it needs.

  Args:
    needs: keys of units -> the one of them, or none, that each needs.
    most: tasks of an array.
  """
  children: dict[str, dict[str | None, list[str]]] = {}
  for key, before in needs.items():
    (parent,) = before or (None,)
    children.setdefault(_kind(key), {}).setdefault(parent, []).append(key)
  waiting = [(units, None, None) for of in children.values() for units in _numbered(of.get(None, ()), most)]
  arrays: list[UnitArray] = []
  while waiting:
    units, before, task = waiting.pop(0)
    name = f'{_kind(next(iter(units.values())))}-{len(arrays) + 1}'
    arrays.append(UnitArray(name, units, before, task))
    waiting += [(below, name, task) for below, task in _below(units, children, most)]
  return arrays


def _below(units: Mapping[int, str], children: Children, most: int) -> Iterator[tuple[Mapping[int, str], int | None]]:
  """(units that need those of an array, the index of the task that all of them need), each pair for an array; as few as possible.

  Either the first units that need each task are an array, with the indices of those tasks, the second ones another, and so on;
  or all that need one task are an array.
  """
  for of in children.values():
    found = {index: of[unit] for index, unit in units.items() if unit in of}
    ranks = max(map(len, found.values()), default=0)
    if ranks <= len(found):
      for rank in range(ranks):
        yield {index: keys[rank] for index, keys in found.items() if rank < len(keys)}, None
    else:
      for index, keys in found.items():
        for numbered in _numbered(keys, most):
          yield numbered, index


def _numbered(keys: Sequence[str], most: int) -> Iterator[Mapping[int, str]]:
  for first in range(0, len(keys), most):
    yield dict(enumerate(keys[first : first + most]))


def _kind(key: str) -> str:
  return key.partition('/')[0]
