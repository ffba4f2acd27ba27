"""The limits of a program."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import From, checked

# The minimum of each limit is enough to start Python with NumPy, g++ with all headers, or a Java VM.
Seconds = Annotated[float, From(0.1), 'seconds']


@dataclasses.dataclass(frozen=True)
@checked
class Limits:
  """The limits of one program and everything that it starts, with its compiler.

  `wall_seconds` is larger than `cpu_seconds`, so that a verdict does not depend on how busy the
  machine is: an endless loop exceeds `cpu_seconds`; only a program that waits exceeds `wall_seconds`.

  Attributes:
    cpu_seconds: processor time of all its processes together.
    wall_seconds: time from start to end.
    memory_bytes: resident memory of all its processes together; also the address space
      of each, unless the language reserves more than it uses (`Language.reserves_memory`).
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
