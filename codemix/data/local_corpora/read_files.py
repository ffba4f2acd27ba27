"""Reads many installed files on all cores, with the results in the order of the files."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codemix.data.local_corpora.installation import InstalledFile
from codemix.errors import CodemixError
from codemix.workers.processes import cores, submitted

WORTH_A_PROCESS = 100  # files: starting a process takes as long as reading some tens of them
CHUNK = 16  # files that a process reads at a time

Reader = Callable[[str], Any]  # of a path


def read_files(reader: Reader, files: Sequence[InstalledFile]) -> Iterator[tuple[InstalledFile, Any]]:
  """Yields each file, in order, with the result of the reader.

  Where a process cannot be started or dies, this process reads the remaining files.
  """
  chunks = [files[begin : begin + CHUNK] for begin in range(0, len(files), CHUNK)]
  read = functools.partial(_read_chunk, reader)
  count = min(cores(), len(files) // WORTH_A_PROCESS)
  done = 0
  if count:
    with contextlib.suppress(CodemixError, OSError), submitted(read, chunks, count) as futures:
      for chunk, future in zip(chunks, futures, strict=True):
        results = future.result()
        done += 1
        yield from zip(chunk, results, strict=True)
  for chunk in chunks[done:]:
    yield from zip(chunk, read(chunk), strict=True)


def _read_chunk(reader: Reader, files: Sequence[InstalledFile]) -> list:
  return [reader(str(file.location)) for file in files]
