"""How much a program may use before it is stopped."""

from __future__ import annotations

import dataclasses

from codemix.errors import UserError

# A Python interpreter that imports NumPy, g++ with all headers, or a Java machine start within these.
_LEAST = {
  'cpu_seconds': 0.1,
  'wall_seconds': 0.1,
  'memory_bytes': 64 << 20,
  'processes': 1,
  'output_bytes': 1,
  'file_bytes': 4096,
}


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one program may use, with everything that it starts (its compiler too).

  The wall clock is given more room than the processor, so that a verdict does not depend on how
  busy the machine is: an endless loop ends by `cpu_seconds`, and only a program that sleeps, or
  waits, meets `wall_seconds`.

  Attributes:
    cpu_seconds: processor time of all its processes together.
    wall_seconds: time from start to end.
    memory_bytes: resident memory of all its processes together; address space of each, where the
      language does not reserve more than it uses (`Language.reserves_memory`).
    processes: processes and threads at a time.
    output_bytes: standard output and standard error together.
    file_bytes: everything in its temporary folder together, and the same again in /dev/shm.
  """

  cpu_seconds: float = 10.0
  wall_seconds: float = 60.0
  memory_bytes: int = 1 << 30
  processes: int = 64
  output_bytes: int = 1 << 20
  file_bytes: int = 64 << 20

  def __post_init__(self):
    for name, least in _LEAST.items():
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float('inf'):
        raise UserError(f'Limits.{name} is {value!r}: it must be a number, at least {least:,}')
      if isinstance(least, int) and not isinstance(value, int):
        raise UserError(f'Limits.{name} is {value!r}: it must be a whole number')
