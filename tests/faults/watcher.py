"""Watches an output folder in a process of its own, which may end itself at a chosen moment.

    python -m tests.faults.watcher OUTPUT TASKS LOG [--at MODULE:FUNCTION --call N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codemix.studies.watch import watch
from tests import tiny_tasks
from tests.faults.driver import log_results
from tests.faults.interrupt import interrupt


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument('output')
  parser.add_argument('tasks')
  parser.add_argument('log')
  parser.add_argument('--at')
  parser.add_argument('--call', type=int, default=1)
  arguments = parser.parse_args()
  log_results(arguments.log)
  if arguments.at:
    interrupt(arguments.at, arguments.call, 'SIGKILL')
  evaluators = tiny_tasks.evaluation(Path(arguments.tasks)).evaluators()
  watch(Path(arguments.output), evaluators, lambda *scored: None, every_s=0.1, timeout_s=120)
  return 0


if __name__ == '__main__':
  sys.exit(main())
