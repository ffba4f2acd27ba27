"""Finds stages by what a person calls them: a name, the beginning of a hash, or the name of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from codemix.errors import UserError, nearest


class Named(Protocol):
  """What has a stage's name and hash: a plan, or a folder with a result."""

  @property
  def name(self) -> str: ...

  @property
  def hash(self) -> str: ...


Stage = TypeVar('Stage', bound=Named)

SHORT = 12  # characters of a hash in the name of a folder


def find_stages(wanted: str, stages: Iterable[Stage]) -> list[Stage]:
  """The stages that `wanted` names: those of exactly this name, else by folder, else by the beginning of a hash.

  Raises:
    UserError: it names none; the message lists those that there are.
  """
  stages = list(stages)
  for names in (_is_called, _lies_in, _begins_with):
    if found := [stage for stage in stages if names(stage, wanted)]:
      return found
  called = sorted({stage.name for stage in stages})
  raise UserError(f"no stage is named '{wanted}'; there is {', '.join(called) or 'none'}.{nearest(wanted, called)}")


def find_stage(wanted: str, stages: Iterable[Stage]) -> Stage:
  """The one stage that `wanted` names.

  Raises:
    UserError: it names none, or several.
  """
  found = find_stages(wanted, stages)
  if len(found) > 1:
    hashes = shortest_hashes(found)
    raise UserError(f"{len(found)} stages are named '{wanted}'; name one by its hash: {', '.join(hashes)}.")
  return found[0]


def shortest_hashes(stages: Sequence[Named]) -> list[str]:
  """As much of each hash as folders are named for."""
  return [stage.hash[:SHORT] for stage in stages]


def _is_called(stage: Named, wanted: str) -> bool:
  return stage.name == wanted


def _lies_in(stage: Named, wanted: str) -> bool:
  # A renamed stage finds its result by its hash, in a folder of its old name.
  hashes = _hashes(stage)
  return wanted.rpartition('-')[2] in [found[:SHORT] for found in hashes] or wanted in [f'{stage.name}-{found}' for found in hashes]


def _begins_with(stage: Named, wanted: str) -> bool:
  name, dash, beginning = wanted.rpartition('-')
  return bool(beginning) and any(found.startswith(beginning) for found in _hashes(stage)) and (not dash or name == stage.name)


def _hashes(stage: Named) -> list[str]:
  # A plan also knows the hash of an earlier version, which the folder of a result of that time is named by.
  return [stage.hash, *filter(None, [getattr(stage, 'earlier_hash', None)])]
