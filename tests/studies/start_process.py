"""One process of a run that begins with a finished stage.

    python -m tests.studies.start_process DATA OUTPUT CACHE START [--join COORDINATOR COUNT INDEX] [--at MODULE:FUNCTION --call N]

--at sends the process SIGKILL in that call, as in `tests.faults.driver`.
"""

from __future__ import annotations

import argparse
import sys

import jax

import codemix
from codemix.errors import CodemixError
from codemix.parallel import processes
from tests import tiny_study
from tests.faults.interrupt import interrupt

CONTINUED = tiny_study.stage('continued', {'text': 0.9, 'code': 0.1}, 6)
COOLDOWN = tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 3)


def study(start: str) -> codemix.Study:
  """Takes over the weights, then everything."""
  return tiny_study.study(started=tiny_study.recipe(CONTINUED, COOLDOWN, start=start))


def main() -> int:
  parser = argparse.ArgumentParser()
  for name in ('data', 'output', 'cache', 'start'):
    parser.add_argument(name)
  parser.add_argument('--join', nargs=3)
  parser.add_argument('--at')
  parser.add_argument('--call', type=int, default=1)
  arguments = parser.parse_args()
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if arguments.at:
    interrupt(arguments.at, arguments.call, 'SIGKILL')
  code = 0
  try:
    if arguments.join:
      coordinator, count, index = arguments.join
      processes.initialize(coordinator, int(count), int(index), timeout_s=120)
    data = codemix.Data(directory=arguments.data, tokenizer='bytes')
    codemix.run_study(study(arguments.start), data, tiny_study.runtime(arguments.output))
  except CodemixError as error:
    print(error, file=sys.stderr)
    code = error.exit_code
  if arguments.join:
    processes.leave(code)
  return code


if __name__ == '__main__':
  sys.exit(main())
