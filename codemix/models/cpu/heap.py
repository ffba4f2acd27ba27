"""glibc's heap keeps the memory of a step's arrays."""

from __future__ import annotations

import ctypes
import platform

import jax

# Parameters of mallopt(3), by their numbers in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = -1


def retain_heap() -> None:
  """Makes glibc keep freed arrays for the next step, where JAX computes on CPUs.

  By default glibc returns freed arrays of some megabytes to the system, which clears their pages when
  they are allocated again (docs/performance.md has the cost). The process then keeps its peak memory to
  its end. With another backend or C library this does nothing.
  """
  if jax.default_backend() != 'cpu' or platform.libc_ver()[0] != 'glibc':
    return
  mallopt = ctypes.CDLL(None).mallopt
  # Arrays up to this many bytes come from the heap; older releases of glibc accept at most 2^25.
  mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, 2**25)
  mallopt(_TRIM_THRESHOLD, _NEVER)
  mallopt(_TOP_PAD, 2**28)  # bytes by which the heap grows at once
