"""Bytes that a compiled step reads from and writes to a chip's main memory.

XLA's count ('bytes accessed') takes each loop's body once, but a decoder is a loop over its layers.
So the bytes are counted from the program's text, with every iteration of a loop.
"""

from __future__ import annotations

from codemix.planner.hlo import Computation, Instruction, Program

# These move no bytes: they name existing arrays, are generated on the fly, or call computations that count themselves.
_FREE = frozenset(
  [
    *('parameter', 'constant', 'iota', 'tuple', 'get-tuple-element', 'bitcast', 'after-all', 'domain', 'opt-barrier'),
    *('while', 'conditional', 'call', 'partition-id', 'replica-id', 'copy-done'),
  ]
)
_SLICES = ('dynamic-slice', 'slice', 'gather')


def memory_bytes(program: Program) -> float:
  """Bytes read from and written to main memory by one run of the program on one chip.

  Each instruction reads its operands and writes its result, except what is in on-chip memory. If an
  instruction reads or sets only a slice of an array, only the slice counts.
  """
  return sum(
    run.times * sum(_moved(program, run.computation, i) for i in run.computation.instructions.values())
    for run in program.runs()
  )


def _moved(program: Program, computation: Computation, instruction: Instruction) -> int:
  opcode = instruction.opcode
  if opcode in _FREE:
    return 0
  operands = [computation.instructions.get(name) for name in instruction.operands]
  if opcode == 'copy-start':
    return _in_memory(instruction)  # its type has the source and the target
  if opcode.endswith('-start') or opcode == 'async-update':
    return 0  # counts at its '-done'
  if opcode.endswith('-done') or opcode in _SLICES:
    return _bytes(instruction) + _in_memory(instruction)
  if opcode == 'dynamic-update-slice':
    return _bytes(operands[1]) + _in_memory(operands[1])
  if opcode == 'fusion' and (called := instruction.called('calls')) in program.computations:
    body = program.computations[called]
    read = sum(_read(body, number, operand) for number, operand in enumerate(operands))
    return read + min(_written(body), _in_memory(instruction))
  return _in_memory(instruction) + sum(map(_in_memory, operands))


def _read(body: Computation, number: int, operand: Instruction | None) -> int:
  """Bytes that a fusion reads from its operand."""
  whole = _in_memory(operand)
  parameter = body.parameter(number)
  users = _users(body, parameter.name) if whole and parameter else []
  if users and all(user.opcode in (*_SLICES, 'dynamic-update-slice') for user in users):
    # An array that is updated in place is not read; the part that is set counts as written.
    return min(whole, sum(_bytes(user) for user in users if user.opcode in _SLICES))
  return whole


def _users(body: Computation, name: str) -> list[Instruction]:
  """The instructions that read an array, directly or through bitcasts."""
  users = []
  for instruction in body.instructions.values():
    if name in instruction.operands:
      users += _users(body, instruction.name) if instruction.opcode == 'bitcast' else [instruction]
  return users


def _written(body: Computation) -> int:
  """Bytes of a fusion's results; of an array that is updated in place, only the part that is set."""
  root = _origin(body, body.root)
  results = [body.instructions[name] for name in root.operands] if root.opcode == 'tuple' else [root]
  total = 0
  for result in (_origin(body, result) for result in results):
    set_in_place = result.opcode == 'dynamic-update-slice'
    total += _bytes(body.instructions[result.operands[1]] if set_in_place else result)
  return total


def _origin(body: Computation, instruction: Instruction) -> Instruction:
  while instruction.opcode == 'bitcast':
    instruction = body.instructions[instruction.operands[0]]
  return instruction


def _bytes(instruction: Instruction) -> int:
  return sum(shape.bytes for shape in instruction.shapes)


def _in_memory(instruction: Instruction | None) -> int:
  """Bytes of an instruction's result that are in main memory."""
  return sum(shape.bytes for shape in instruction.shapes if not shape.space) if instruction else 0
