"""Finds stages by name, by the beginning of a hash, or by the name of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from codemix.errors import UserError, nearest


class Named(Protocol):
  """A plan, or a folder with a result."""

  @property
  def name(self) -> str: ...

  @property
  def hash(self) -> str: ...


Stage = TypeVar('Stage', bound=Named)

SHORT = 12  # digits of a hash in the name of a folder


def find_stages(wanted: str, stages: Iterable[Stage]) -> list[Stage]:
  """The stages with exactly this name, else with this folder, else with a hash that begins so.

  Raises UserError if there are none; the message lists the names that there are.
  """
  stages = list(stages)
  name, dash, beginning = wanted.rpartition('-')
  rules = (
    lambda stage, _: stage.name == wanted,
    # A renamed stage finds its result by its hash, in a folder of its old name.
    lambda stage, found: beginning == found[:SHORT] or wanted == f'{stage.name}-{found}',
    lambda stage, found: beginning and found.startswith(beginning) and (not dash or name == stage.name),
  )
  for matches in rules:
    if named := [stage for stage in stages if any(matches(stage, found) for found in _hashes(stage))]:
      return named
  names = sorted({stage.name for stage in stages})
  raise UserError(f"no stage is named '{wanted}'; there is {', '.join(names) or 'none'}.{nearest(wanted, names)}")


def find_stage(wanted: str, stages: Iterable[Stage]) -> Stage:
  """The one stage that `wanted` names. Raises UserError if it names none or several."""
  found = find_stages(wanted, stages)
  if len(found) > 1:
    hashes = ', '.join(stage.hash[:SHORT] for stage in found)
    raise UserError(f"{len(found)} stages are named '{wanted}'; name one by its hash: {hashes}.")
  return found[0]


def _hashes(stage: Named) -> list[str]:
  # A plan also knows the hash that an earlier version gave it, which names the folder of a result of that time.
  return [stage.hash, *filter(None, [getattr(stage, 'earlier_hash', None)])]
