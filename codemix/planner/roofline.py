"""Predicts the time of a step whose chips run at their published peaks, which is a lower bound.

The model is that of Williams, Waterman and Patterson, "Roofline: an insightful visual performance
model" (2009), with the links between chips as further roofs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from codemix.parallel.topology import Topology
from codemix.planner.chips import Chip
from codemix.planner.collectives import Collective
from codemix.planner.programs import Compiled


@dataclasses.dataclass(frozen=True)
class StepTime:
  """Seconds of one step, by resource.

  Attributes:
    compute: the matmuls, with recomputation, at the peak FLOP/s.
    memory: the traffic of main memory.
    links: the collectives inside a slice.
    network: the collectives between slices; None if the chip's share of the network is not published.
  """

  compute: float
  memory: float
  links: float
  network: float | None

  @property
  def overlapped(self) -> float:
    """The time if everything overlaps: the longest part."""
    return max(self.parts().values())

  @property
  def one_by_one(self) -> float:
    """The time if nothing overlaps: the sum of the parts."""
    return sum(self.parts().values())

  @property
  def bound(self) -> str:
    """Name of the longest part."""
    parts = self.parts()
    return max(parts, key=parts.get)

  def parts(self) -> dict[str, float]:
    return {name: seconds for name, seconds in dataclasses.asdict(self).items() if seconds is not None}


def step_time(compiled: Compiled, chip: Chip, topology: Topology) -> StepTime:
  """The roofline of a compiled step."""
  return StepTime(
    compute=compiled.flops / (topology.chips * chip.flops),
    memory=compiled.memory_traffic / chip.memory_rate,
    links=sum(c.sent_over_links() / links_rate(c, chip, topology) for c in compiled.collectives if c.chips > 1),
    network=_network_seconds(compiled.collectives, chip),
  )


def links_rate(collective: Collective, chip: Chip, topology: Topology) -> float:
  """Bytes/s at which one chip can send to the others of its group.

  It has one link along each axis of the torus that the group spans, two if the axis is a ring.
  """
  links = sum(2 if topology.wraps(side) else 1 for side in collective.sides)
  return max(links, 1) * chip.link_rate


def _network_seconds(collectives: Iterable[Collective], chip: Chip) -> float | None:
  sent = sum(c.sent_over_network() for c in collectives if c.slices > 1)
  if not sent:
    return 0.0
  return sent / chip.network_rate if chip.network_rate else None


def chip_hours(flops: float, chip: Chip, mfu: float) -> float:
  """Chip-hours that so many model FLOPs take at an MFU."""
  return flops / (mfu * chip.flops) / 3600


def implied_mfu(flops: float, chip: Chip, hours: float) -> float:
  """The MFU at which so many model FLOPs take so many chip-hours."""
  return flops / (hours * 3600 * chip.flops)
