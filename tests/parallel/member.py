"""One of several processes, which does what a test says, as a verb of the command.

    python -m tests.parallel.member PORT COUNT INDEX [--silence S] WHAT...

WHAT is one of:
  compute          reduces over all processes, again and again, and does not come to an end
  wait             waits at a barrier to which no other comes
  fail CODE        computes a little, then stops with an error of this exit code (1: one that nobody expects)
  agree JSON       compares what is in the JSON
  stand            computes, watched, and stands still in Python in the 20th step; with `compute watched` the others wait for it
  first WHAT       comes to the first collective over all devices, and computes it, or waits there for something else (WHAT: compute, wait)
  share FOLDER     looks whether FOLDER is one for all
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np

from codemix import cli
from codemix.errors import NonFiniteError, Preempted, UserError
from codemix.parallel import (
  agreement,
  coordination,
  first_collective,
  processes,
  shared_folder,
  watchdog,
)
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding

ERRORS = {error.exit_code: error for error in (UserError, NonFiniteError, Preempted)}


def compute(steps: int | None = None) -> None:
  rows = batch_sharding(make_mesh(MeshConfig()))
  add = jax.jit(lambda values: values.sum())
  for step in itertools.count() if steps is None else range(steps):
    watchdog.at(f'step {step}')
    values = jax.make_array_from_process_local_data(rows, np.ones((jax.local_device_count(), 3)))
    float(add(values))
    if step == 3:
      print('computing', flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  for name in ('port', 'count', 'index'):
    parser.add_argument(name, type=int)
  parser.add_argument('--silence', type=float, default=30)
  parser.add_argument('what', nargs='+')


def run(arguments: argparse.Namespace) -> None:
  processes.initialize(
    f'localhost:{arguments.port}', arguments.count, arguments.index, timeout_s=60, heartbeat_timeout_s=arguments.silence
  )
  match arguments.what:
    case ['compute']:
      compute()
    case ['compute', 'watched']:
      with watchdog.watched(3):
        compute()
    case ['stand']:
      with watchdog.watched(3):
        compute(steps=20)
        watchdog.at('step 20')
        time.sleep(600)
    case ['first', what]:
      if what == 'wait':
        jax.jit = lambda *_, **__: lambda _: coordination.barrier('to which no other comes', 600)
      with watchdog.watched(None):
        print(first_collective.start_line(first_collective.first_collective(make_mesh(MeshConfig()), 3)))
    case ['wait']:
      print('computing', flush=True)
      coordination.barrier(f'only {arguments.index} comes', 600)
    case ['fail', code]:
      compute(steps=10)
      raise ERRORS.get(int(code), ZeroDivisionError)('an error of one process')
    case ['agree', facts]:
      agreement.require_agreement(json.loads(facts), 'Start all alike.')
    case ['share', folder]:
      shared_folder.SEEN_S = 2
      shared_folder.require_shared(Path(folder), 'Runtime.output')
  print('done', flush=True)


if __name__ == '__main__':
  cli.VERBS['member'] = 'one of several processes', ''
  sys.modules['codemix.commands.member'] = sys.modules[__name__]
  sys.argv.insert(1, 'member')
  cli.entry()
