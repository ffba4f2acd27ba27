"""Runs the campaign, and prints its table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests import conftest  # noqa: F401 (the compiler's flags)
from tests.faults.campaign.campaign import Tally, inject
from tests.faults.campaign.faults import FAULTS
from tests.faults.campaign.run import BUCKET, DISK, place


def table(tallies: Sequence[Tally]) -> str:
  """A table in Markdown."""
  lines = ['| fault | place | injected | detected | recovered | lost |', '|---|---|--:|--:|--:|--:|']
  return '\n'.join([*lines, *(f'| {t.fault} | {t.place} | {t.injected} | {t.detected} | {t.recovered} | {t.lost} |' for t in tallies)])


def main() -> int:
  parser = argparse.ArgumentParser(prog='python -m tests.faults.campaign', description='Faults at random moments of runs of two processes.')
  parser.add_argument('--place', choices=(DISK, BUCKET), help='default: both')
  parser.add_argument('--fault', action='append', choices=FAULTS, metavar='NAME', help=f'default: all. One of: {", ".join(FAULTS)}')
  parser.add_argument('--times', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--summary', type=Path, help='a file for the summary, which is also printed')
  arguments = parser.parse_args()
  tallies, began = [], time.monotonic()
  show = lambda line: print(line, file=sys.stderr, flush=True)
  for kind in [arguments.place] if arguments.place else (DISK, BUCKET):
    folder = Path(tempfile.mkdtemp(prefix=f'codemix-campaign-{kind}-'))
    show(f'{kind}: logs in {folder}')
    with place(kind, folder) as found:
      show(f'{kind}: an undisturbed run takes {found.seconds[0]:.1f} s to its first step, then {found.seconds[1]:.1f} s')
      for fault in arguments.fault or FAULTS:
        if kind not in FAULTS[fault][1]:
          continue
        tallies.append(inject(found, fault, arguments.times, arguments.seed, show))
        show(table(tallies[-1:]).splitlines()[-1])
        for problem in tallies[-1].problems:
          show(f'  {problem}')
        summary = json.dumps({'seconds': round(time.monotonic() - began), 'seed': arguments.seed, 'tallies': [*map(dataclasses.asdict, tallies)]}, indent=1)
        if arguments.summary:
          arguments.summary.write_text(summary + '\n')
  print(table(tallies))
  print(summary)
  return 1 if any(tally.lost or tally.problems for tally in tallies) else 0


if __name__ == '__main__':
  sys.exit(main())
