"""Who works in a folder."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Holder:
  """The process that holds the lock of a folder.

  Attributes:
    doing: what it does there, such as 'training'; '' if it is not known.
    name: 'process 4711 on node-7'; '' if it is not known.
    silent_s: seconds since its last heartbeat, or None: a lock of a disk has none, and ends with its process.
  """

  doing: str
  name: str
  silent_s: float | None = None
