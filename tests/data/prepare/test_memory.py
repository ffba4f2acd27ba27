"""The peak memory of `prepare` has nothing to do with the size of the corpus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.raw_corpora import texts, write_lines

SCRIPT = r"""
import re, sys
from pathlib import Path
from codemix.data.filters import ExactDuplicates
from codemix.data.prepare import duplicates
from tests.data.raw_corpora import corpus, data, prepared

duplicates.BLOCK, duplicates.RANGE = 2**12, 2**13  # as if the corpora were so much larger
raw, folder = map(Path, sys.argv[1:])
store = prepared(data(folder, corpus(raw, filters=(ExactDuplicates(),)), shards=2))
# Not ru_maxrss, which counts the process that started this one.
print(store.bytes, 1024 * int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]))
"""


def peak(raw: Path, folder: Path) -> tuple[int, int]:
  """(bytes of text in the store, most memory that its process had)."""
  ran = subprocess.run(
    [sys.executable, '-c', SCRIPT, raw, folder],
    capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[3],
  )  # fmt: skip
  return tuple(map(int, ran.stdout.split()))


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc on this system')
@pytest.mark.slow  # tens of megabytes are prepared
def test_ten_times_the_corpus_takes_no_more_memory(tmp_path):
  lines = texts(20_000, words=80)
  for name, copies in (('small', 1), ('large', 10)):
    write_lines(tmp_path / name, [[f'{text} {copy}' for text in lines[n::2] for copy in range(copies)] for n in range(2)])
  (small, memory), (large, memory_of_large) = (peak(tmp_path / name, tmp_path / f'{name}-data') for name in ('small', 'large'))
  print(f'{small / 1e6:.1f} MB of text: {memory / 2**20:.0f} MiB; {large / 1e6:.1f} MB: {memory_of_large / 2**20:.0f} MiB')
  assert large > 9 * small
  assert memory_of_large < 1.1 * memory
