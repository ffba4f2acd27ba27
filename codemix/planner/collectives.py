"""The collectives of a compiled step: their kinds, bytes and links."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from codemix.planner.groups import groups_of
from codemix.planner.hlo import Computation, Instruction, Program, Run

KINDS = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'ragged-all-to-all',
  'collective-permute',
  'collective-broadcast',
)
# The TPU compiler turns a collective between slices into a transfer to the host; the host's runtime performs it.
_BETWEEN_SLICES = re.compile(r'_xla_megascale_transfer_type="(\w+)"')
_CHANNEL = re.compile(r'channel_id=\d+')
_PLACE = re.compile(r'replica_groups=.*?(?=, (?:dimensions|use_global_device_ids|to_apply|metadata)=|$)|(?:op_name|stack_frame_id)=(?:"[^"]*"|\d+)')


@dataclasses.dataclass(frozen=True)
class Place:
  """The slice that a device is in, and its coordinates in the slice's torus; () if it has none."""

  slice: int
  coordinates: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Collective:
  """One collective of a step.

  Attributes:
    kind: one of KINDS.
    times: how often a step runs it.
    input_bytes: bytes of the operands on one chip.
    chips: how many chips of one slice are in a group.
    slices: how many slices a group spans.
    sides: the axes of the torus that a group spans.
  """

  kind: str
  times: float
  input_bytes: int
  chips: int
  slices: int
  sides: tuple[int, ...]

  def sent_over_links(self) -> float:
    """Bytes that one chip sends inside its slice in a step."""
    return self.times * _sent(self.kind, self.input_bytes, self.chips)

  def sent_over_network(self) -> float:
    """Bytes that one chip sends to other slices in a step.

    A reduction over several slices first runs inside each slice and leaves each chip a shard; only
    the shards cross the network. A gather does the same in the opposite order.
    """
    inside = 1 if self.kind in ('all-gather', 'collective-permute') else self.chips
    return self.times * _sent(self.kind, self.input_bytes / inside, self.slices)


def _sent(kind: str, input_bytes: float, members: int) -> float:
  """The least bytes that each of `members` chips sends, which is what the ring algorithms send.

  Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH"
  (2005), sections 4.1 to 4.5.
  """
  if members < 2:
    return 0.0
  others = members - 1
  if kind == 'all-gather':
    return input_bytes * others
  if kind == 'all-reduce':
    return 2 * input_bytes * others / members
  if kind in ('collective-permute', 'collective-broadcast'):
    return float(input_bytes)
  return input_bytes * others / members


def collectives_of(program: Program, places: Sequence[Place]) -> list[Collective]:
  """Every collective of a compiled program.

  Args:
    places: one for each device, in the order of the program's device assignment (that of the mesh).
  """
  slices = len({place.slice for place in places})
  if program.partitions < len(places):  # it is the program of one slice
    places = [place for place in places if place.slice == places[0].slice]
  found = []
  for run in program.runs():
    seen = set()
    for kind, instruction, within in _in_computation(program, run.computation):
      # The TPU compiler splits a collective into pieces in several fusions, to overlap it with their
      # computation. All pieces have the same channel and the same location in the source.
      identity = _identity(kind, instruction) if within is not run.computation else None
      if identity is None or identity not in seen:
        seen.add(identity)
        found.append(_collective(kind, instruction, within, run.times, places))
    found += _between_slices(run, slices)
  return found


def _in_computation(
  program: Program, computation: Computation
) -> Iterator[tuple[str, Instruction, Computation]]:
  for instruction in computation.instructions.values():
    kind = instruction.opcode.removesuffix('-start')
    if kind in KINDS:
      # The TPU compiler fuses an all-reduce with the slice of it that each chip keeps.
      scatters = kind == 'all-reduce' and computation.name.startswith('all-reduce-scatter')
      yield 'reduce-scatter' if scatters else kind, instruction, computation
    elif instruction.opcode in ('fusion', 'async-start') and (called := instruction.called('calls')):
      yield from _in_computation(program, program.computations[called])


def _between_slices(run: Run, slices: int) -> Iterator[Collective]:
  for instruction in run.computation.instructions.values():
    if instruction.opcode == 'send' and (transfer := _BETWEEN_SLICES.search(instruction.attributes)):
      kind = transfer[1].lower().replace('_', '-')
      given = run.computation.instructions[instruction.operands[0]]
      sent = sum(shape.bytes for shape in given.shapes)
      yield Collective(kind if kind in KINDS else 'collective-permute', run.times, sent, 1, slices, ())


def _identity(kind: str, instruction: Instruction) -> tuple | None:
  """What the pieces of one collective have in common; None if it has no channel and so is not split.

  The channel alone is not enough, because all collectives of `jax.shard_map` have the same one.
  """
  if not (channel := _CHANNEL.search(instruction.attributes)):
    return None
  return kind, channel[0], *_PLACE.findall(instruction.attributes)


def _collective(
  kind: str, instruction: Instruction, within: Computation, times: float, places: Sequence[Place]
) -> Collective:
  given = [within.instructions[name] for name in instruction.operands if name in within.instructions]
  input_bytes = sum(shape.bytes for operand in given for shape in operand.shapes)
  groups = groups_of(instruction.attributes, len(places))
  if groups is None:
    members = list(places)
  else:  # the group that spans most slices: the others wait for it
    widest = max(groups, key=lambda group: len({places[i].slice for i in group}))
    members = [places[i] for i in widest]
  slices = {place.slice for place in members}
  in_one = [place.coordinates for place in members if place.slice == members[0].slice]
  sides = tuple(side for side, along in enumerate(zip(*in_one, strict=True)) if len(set(along)) > 1)
  return Collective(kind, times, input_bytes, len(in_one), len(slices), sides)


@dataclasses.dataclass(frozen=True)
class Traffic:
  """All collectives of one kind over one kind of link.

  Attributes:
    kind: one of KINDS.
    over: 'links' (inside a slice) or 'network' (between slices).
    count: how many run in a step.
    sent_bytes: bytes that one chip sends in a step.
  """

  kind: str
  over: str
  count: int
  sent_bytes: float


def by_kind(collectives: Iterable[Collective]) -> list[Traffic]:
  """The sums of each kind; the kind with the most bytes first."""
  listed = list(collectives)
  sums = []
  for kind, over in itertools.product(KINDS, ('links', 'network')):
    members = [c for c in listed if c.kind == kind and (c.slices > 1 if over == 'network' else c.chips > 1)]
    sent = sum(c.sent_over_network() if over == 'network' else c.sent_over_links() for c in members)
    if members:
      sums.append(Traffic(kind, over, round(sum(c.times for c in members)), sent))
  return sorted(sums, key=lambda traffic: -traffic.sent_bytes)
