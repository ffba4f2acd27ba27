"""How much a program may use before it is stopped."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import From, checked

# A Python interpreter that imports NumPy, g++ with all headers, or a Java machine start within the
# least that each may be.
Seconds = Annotated[float, From(0.1), 'seconds']


@dataclasses.dataclass(frozen=True)
@checked
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

  stable_name, version = 'limits', 1

  cpu_seconds: Seconds = 10.0
  wall_seconds: Seconds = 60.0
  memory_bytes: Annotated[int, From(64 << 20), 'bytes'] = 1 << 30
  processes: Annotated[int, From(1)] = 64
  output_bytes: Annotated[int, From(1), 'bytes'] = 1 << 20
  file_bytes: Annotated[int, From(4096), 'bytes'] = 64 << 20
