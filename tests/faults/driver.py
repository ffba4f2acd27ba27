"""Runs the small study in a process of its own, which may end itself at a chosen moment.

    python -m tests.faults.driver DATA OUTPUT CACHE [--at MODULE:FUNCTION --call N --send SIGNAL]

MODULE:FUNCTION, such as codemix.training.stage_log:StageLog.write, is wrapped so that its N-th call first
sends SIGNAL to the process: SIGKILL, which nothing survives, or SIGTERM.
"""

from __future__ import annotations

import argparse
import sys

import jax

import codemix
from codemix.errors import CodemixError
from tests import tiny_study
from tests.faults.interrupt import interrupt


def study() -> codemix.Study:
  """Three stages that hand over in different ways, with checkpoints inside the first two."""
  return tiny_study.study(staged=tiny_study.balanced_to_text(steps=6))


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument('data')
  parser.add_argument('output')
  parser.add_argument('cache', help='folder of compiled programs')
  parser.add_argument('--at')
  parser.add_argument('--call', type=int, default=1)
  parser.add_argument('--send', default='SIGKILL')
  arguments = parser.parse_args()
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if arguments.at:
    interrupt(arguments.at, arguments.call, arguments.send)
  data = codemix.Data(directory=arguments.data, tokenizer='bytes')
  try:
    codemix.run_study(study(), data, tiny_study.runtime(arguments.output))
  except CodemixError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  return 0


if __name__ == '__main__':
  sys.exit(main())
