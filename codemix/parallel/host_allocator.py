"""How a process that computes on CPUs gets the memory of its arrays."""

from __future__ import annotations

import ctypes
import platform

import jax

# Parameters of mallopt(3), by their numbers in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = -1


def retain_heap() -> None:
  """Lets glibc keep the memory of a step's arrays for the next step, where JAX computes on CPUs.

  By itself it gives arrays of some megabytes back to the system when they are freed, which clears
  every page of theirs when they are asked for anew: docs/performance.md says what that costs. What
  the process held at its peak it then holds to its end. Elsewhere, and with another C library, this
  does nothing.
  """
  if jax.default_backend() != 'cpu' or platform.libc_ver()[0] != 'glibc':
    return
  mallopt = ctypes.CDLL(None).mallopt
  # Arrays up to so many bytes come from the heap; older releases of glibc take no more than the second.
  mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, 2**25)
  mallopt(_TRIM_THRESHOLD, _NEVER)
  mallopt(_TOP_PAD, 2**28)  # bytes by which the heap grows at once
