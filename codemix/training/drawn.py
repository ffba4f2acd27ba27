"""What the steps of a stage have drawn so far; it rides in every checkpoint."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping

from codemix.data.batches.ledger import counted
from codemix.data.batches.source_use import SourceUse

Realised = dict[str, dict[str, int]]  # source -> what the ledger counts

POSITION_KEYS = ('realised', 'skipped', 'recent_losses')  # of a checkpoint's position, those that are not planned


@dataclasses.dataclass
class Drawn:
  """Counts of the steps of a stage; the stage's log adds to them.

  Attributes:
    realised: what the ledger counts of each source (`ledger.counted`), skipped steps included.
    skipped: for each skipped step `stage_step` (from 1), `why`, and in `sources` what it drew.
    recent_losses: of the last steps that were learned from, if the stage looks for spikes.
  """

  realised: Realised
  skipped: list[dict] = dataclasses.field(default_factory=list)
  recent_losses: list[float] = dataclasses.field(default_factory=list)

  def as_position(self) -> dict:
    """Plain data for a checkpoint: a copy, since later steps add to these while it is written."""
    lists = {key: getattr(self, key) for key in POSITION_KEYS[1:] if getattr(self, key)}
    return copy.deepcopy({'realised': self.realised, **lists})

  def skips_because(self, why: str) -> int:
    """How many steps were skipped for this reason."""
    return sum(skipped['why'] == why for skipped in self.skipped)


def nothing_drawn(uses: Iterable[SourceUse]) -> Drawn:
  return Drawn({use.source: dict.fromkeys(counted(use), 0) for use in uses})


def drawn_at(position: Mapping) -> Drawn:
  """That of a checkpoint's position."""
  return Drawn(**{key: position[key] for key in POSITION_KEYS if key in position})
