"""Parses a compiled program's text (HLO) into computations, and counts how often each of them runs.

It reads what a cost needs: names, types, opcodes, operands and attributes. The grammar is that of
XLA's parser (xla/hlo/parser in the OpenXLA sources).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

DTYPE_BYTES = {
  **dict.fromkeys(('pred', 's8', 'u8'), 1),
  **dict.fromkeys(('s16', 'u16', 'f16', 'bf16'), 2),
  **dict.fromkeys(('s32', 'u32', 'f32'), 4),
  **dict.fromkeys(('s64', 'u64', 'f64', 'c64'), 8),
  'c128': 16,
}
# Only TPU layouts name a memory space: 1 is the on-chip vector memory; without a number (0) it is the HBM.
_SHAPE = re.compile(r'\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^{}]*\})?')
_SPACE = re.compile(r'S\((\d+)\)')
_HEADER = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$')
_NAME = re.compile(r'^\s+(ROOT )?%?([\w.\-]+) = ')
_CALLED = re.compile(r'\b(calls|body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)')
_BRANCHES = re.compile(r'\bbranch_computations=\{([^}]*)\}')
_TRIPS = re.compile(r'known_trip_count"?\s*:\s*\{\s*"?n"?\s*:\s*"?(\d+)')


@dataclasses.dataclass(frozen=True)
class Shape:
  """An array, or one array of a tuple.

  Attributes:
    bytes: size without padding to tiles.
    space: number of the memory space; 0 is the device's main memory.
    sizes: sizes of the axes.
  """

  bytes: int
  space: int
  sizes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Instruction:
  name: str
  opcode: str
  shapes: tuple[Shape, ...]
  operands: tuple[str, ...]
  argument: str  # the text between the brackets: a constant's value, a parameter's number
  attributes: str
  is_root: bool

  def called(self, attribute: str) -> str | None:
    """The computation that an attribute ('calls', 'body', 'condition', ...) names."""
    return next((name for key, name in _CALLED.findall(self.attributes) if key == attribute), None)

  def branches(self) -> list[str]:
    """The computations of a conditional."""
    if found := _BRANCHES.search(self.attributes):
      return [name.strip().lstrip('%') for name in found[1].split(',')]
    return [n for key, n in _CALLED.findall(self.attributes) if key in ('true_computation', 'false_computation')]


@dataclasses.dataclass(frozen=True)
class Computation:
  name: str
  instructions: dict[str, Instruction]  # in order

  @property
  def root(self) -> Instruction:
    marked = [i for i in self.instructions.values() if i.is_root]
    return marked[0] if marked else list(self.instructions.values())[-1]

  def parameter(self, number: int) -> Instruction | None:
    found = (i for i in self.instructions.values() if i.opcode == 'parameter' and i.argument == str(number))
    return next(found, None)


@dataclasses.dataclass(frozen=True)
class Program:
  """All computations of a module, by name.

  Attributes:
    entry: name of the computation that runs first.
    partitions: number of devices that run it together. If the devices are in several slices, it is
      the program of one slice, and transfers between slices go through a host.
  """

  computations: dict[str, Computation]
  entry: str
  partitions: int

  def runs(self) -> Iterator[Run]:
    """Yields each computation that the control flow reaches and how often it runs.

    It follows loops, branches and calls. It does not follow what a fusion or a reduction calls, which
    is part of one instruction. Every branch of a conditional counts as taken.
    """
    yield from self._runs_of(self.entry, 1.0, True, {})

  def _runs_of(self, name: str, times: float, known: bool, inputs: dict[int, int]) -> Iterator[Run]:
    computation = self.computations[name]
    yield Run(computation, times, known)
    for instruction in computation.instructions.values():
      if instruction.opcode == 'while':
        trips = self._trips(instruction, computation, inputs)
        carried = self._constants(instruction.operands[0], computation, inputs)
        yield from self._runs_of(
          instruction.called('body'), times * (1 if trips is None else trips), known and trips is not None, carried
        )
      elif instruction.opcode == 'conditional':
        for branch in instruction.branches():
          yield from self._runs_of(branch, times, known, {})
      elif instruction.opcode == 'call':
        yield from self._runs_of(instruction.called('to_apply'), times, known, {})

  def _trips(self, loop: Instruction, caller: Computation, inputs: dict[int, int]) -> int | None:
    """How often a loop's body runs; None if the text does not say."""
    if found := _TRIPS.search(loop.attributes):
      return int(found[1])
    condition = self.computations[loop.called('condition')]
    begin = self._constants(loop.operands[0], caller, inputs)
    test = condition.root
    if test.opcode != 'compare' or 'direction=LT' not in test.attributes:
      return None
    counter, bound = (condition.instructions[operand] for operand in test.operands)
    end = self._value(bound, condition, begin)
    start = begin.get(_index(counter), 0) if counter.opcode == 'get-tuple-element' else None
    return None if end is None or start is None else max(end - start, 0)

  def _constants(self, name: str, computation: Computation, inputs: dict[int, int]) -> dict[int, int]:
    """The elements of a tuple that are constant integers, by their index."""
    made = computation.instructions[name]
    if made.opcode != 'tuple':
      return {}
    values = {
      place: self._value(computation.instructions[operand], computation, inputs)
      for place, operand in enumerate(made.operands)
    }
    return {place: value for place, value in values.items() if value is not None}

  def _value(self, instruction: Instruction, computation: Computation, inputs: dict[int, int]) -> int | None:
    if instruction.opcode == 'constant':
      return int(instruction.argument) if re.fullmatch(r'-?\d+', instruction.argument) else None
    if instruction.opcode in ('copy', 'bitcast', 'copy-start', 'copy-done'):
      return self._value(computation.instructions[instruction.operands[0]], computation, inputs)
    if instruction.opcode == 'get-tuple-element':
      held_by = computation.instructions[instruction.operands[0]]
      return inputs.get(_index(instruction)) if held_by.opcode == 'parameter' else None
    return None


@dataclasses.dataclass(frozen=True)
class Run:
  """A computation and how often it runs in one call of the program.

  Attributes:
    known: False if it is in a loop of unknown length, which counts as one iteration.
  """

  computation: Computation
  times: float
  known: bool


def parse(text: str) -> Program:
  """The program of `jax.stages.Compiled.as_text()`."""
  computations, entry = {}, ''
  name, instructions = '', {}
  for line in text.splitlines():
    if header := _HEADER.match(line):
      name, instructions = header[2], {}
      entry = name if header[1] else entry
    elif line == '}' and name:  # a kernel's metadata has several lines, and some begin with '}'
      computations[name], name = Computation(name, instructions), ''
    elif name and (found := _NAME.match(line)):
      instruction = _instruction(found, line)
      instructions[instruction.name] = instruction
  partitions = re.search(r'num_partitions=(\d+)', text.partition('\n')[0])
  return Program(computations, entry, int(partitions[1]) if partitions else 1)


def shapes_of(text: str) -> tuple[Shape, ...]:
  """The arrays of a type such as 'bf16[8,128]{1,0:T(8,128)(2,1)S(1)}', or of a tuple of types."""
  found = []
  for dtype, sizes, layout in _SHAPE.findall(text):
    axes = tuple(int(size) for size in sizes.split(',') if size)
    # 4-bit integers (s4, u4) take half a byte; every type that begins with f8 (f8e4m3fn) takes one.
    width = DTYPE_BYTES.get(dtype, 0.5 if re.match(r'[su]4$', dtype) else 1 if dtype.startswith('f8') else 0)
    space = _SPACE.search(layout or '')
    found.append(Shape(int(math.prod(axes) * width), int(space[1]) if space else 0, axes))
  return tuple(found)


def _instruction(found: re.Match, line: str) -> Instruction:
  kind, rest = _split_type(line[found.end() :])
  opcode, _, rest = rest.partition('(')
  end = _closing(rest)
  inside, attributes = rest[:end], rest[end + 1 :]
  operands = tuple(re.findall(r'%([\w.\-]+)', inside))
  return Instruction(found[2], opcode.strip(), shapes_of(kind), operands, inside.strip(), attributes, bool(found[1]))


def _split_type(text: str) -> tuple[str, str]:
  """(an instruction's type, the text after it)."""
  if not text.startswith('('):
    kind, _, rest = text.partition(' ')
    return kind, rest
  end = _closing(text[1:]) + 2
  return text[:end], text[end:]


def _closing(text: str) -> int:
  """Index of the bracket that closes the one just before `text`."""
  depth = 1
  for place, character in enumerate(text):
    depth += (character == '(') - (character == ')')
    if not depth:
      return place
  return len(text)


def _index(instruction: Instruction) -> int:
  return int(re.search(r'index=(\d+)', instruction.attributes)[1])
