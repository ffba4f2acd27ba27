"""One of several processes that train the small study together, as a verb of the command.

    python -m tests.faults.member DATA OUTPUT CACHE PORT COUNT INDEX [--join_s S] [--silence S] [--stuck_after S]
                                  [--otherwise S] [--spoil] [--failing]
                                  [--tasks FOLDER] [--at MODULE:FUNCTION ... --call N --send SIGNAL --pause S]
"""

from __future__ import annotations

import argparse
import sys
import types

import jax

import codemix
from codemix import cli
from codemix.parallel import processes, watchdog
from tests import tiny_study
from tests.faults.driver import spoil, spoiled_study, study
from tests.faults.interrupt import interrupt
from tests.studies import failing_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
  for name in ('data', 'output', 'cache'):
    parser.add_argument(name)
  for name in ('port', 'count', 'index'):
    parser.add_argument(name, type=int)
  parser.add_argument('--join_s', type=float, default=240)
  parser.add_argument('--silence', type=float, default=30)
  parser.add_argument('--stuck_after', type=float)
  parser.add_argument('--otherwise', type=float, help='replaces watchdog.OTHERWISE_S')
  parser.add_argument('--spoil', action='store_true')
  parser.add_argument('--failing', action='store_true', help='train the study of which one arm fails')
  parser.add_argument('--at', action='append', default=[], help='may be given again; FUNCTION#N is its N-th call')
  parser.add_argument('--call', type=int, default=1)
  parser.add_argument('--send', default='SIGKILL')
  parser.add_argument('--pause', type=float, default=0.0, help='seconds after the signal')
  parser.add_argument('--tasks', help='the folder of a benchmark, on which every second step is evaluated')


def run(arguments: argparse.Namespace) -> None:
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  for at in arguments.at:
    target, _, call = at.partition('#')
    interrupt(target, int(call or arguments.call), arguments.send, arguments.pause)
  if arguments.count > 1:
    processes.initialize(f'localhost:{arguments.port}', arguments.count, arguments.index, arguments.join_s, arguments.silence)
  data = codemix.Data(directory=arguments.data, tokenizer='bytes')
  if arguments.otherwise:
    watchdog.OTHERWISE_S = arguments.otherwise
  if arguments.spoil:
    spoil()
  if arguments.failing:
    failing_study.spoil(types.SimpleNamespace(setattr=setattr))
  chosen = tiny_study.study(**failing_study.RECIPES) if arguments.failing else spoiled_study() if arguments.spoil else study(arguments.tasks)
  codemix.run_study(chosen, data, tiny_study.runtime(arguments.output, stuck_after=arguments.stuck_after))


if __name__ == '__main__':
  cli.VERBS['member'] = 'one of several processes', ''
  sys.modules['codemix.commands.member'] = sys.modules[__name__]
  sys.argv.insert(1, 'member')
  cli.entry()
