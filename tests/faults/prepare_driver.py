"""Prepares a small corpus in a process of its own, which may end itself at a chosen moment.

    python -m tests.faults.prepare_driver RAW DATA [--workers N | --beam] [--at MODULE:FUNCTION --call N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codemix.data.filters import ExactDuplicates, HexLiterals
from codemix.data.prepare import duplicates, tokenize_shard
from codemix.errors import CodemixError
from tests.data.raw_corpora import corpus, data, prepared
from tests.faults.interrupt import interrupt


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument('raw')
  parser.add_argument('data')
  parser.add_argument('--workers', type=int, default=1)
  parser.add_argument('--at')
  parser.add_argument('--call', type=int, default=1)
  arguments = parser.parse_args()
  if arguments.at:
    interrupt(arguments.at, arguments.call, 'SIGKILL')
  # A few documents then make several batches, blocks and ranges.
  tokenize_shard.BATCH_CHARACTERS = 2000
  duplicates.BLOCK = duplicates.RANGE = duplicates.COPY_DOCUMENTS = 50
  source = corpus(Path(arguments.raw), filters=(HexLiterals(), ExactDuplicates()), max_bad_share=0.5, validation_share=0.2)
  settings = data(Path(arguments.data), source, workers=arguments.workers)
  try:
    for split in ('train', 'validation'):
      prepared(settings, split)
  except CodemixError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  return 0


if __name__ == '__main__':
  sys.exit(main())
