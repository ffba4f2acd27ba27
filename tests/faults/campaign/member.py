"""One of the two processes of a run, as a verb of the command; its argument is an `Order` as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os

import jax
from jax._src import compilation_cache, compiler

import codemix
from codemix.parallel import processes
from codemix.training.stage_log import StageLog
from tests import tiny_study
from tests.faults.interrupt import interrupt

COUNT = 2
STEPS, SAVE_EVERY = 12, 4
JOIN_S = 20


@dataclasses.dataclass(frozen=True)
class Order:
  """What a process is to do.

  Attributes:
    data, output: folders of a disk or a bucket.
    cache: folder of compiled programs.
    steps_file: a local file that gets a byte with each step.
    log: a local file for stdout and stderr.
    port: of process 0.
    index: the process's number.
    steps: of the first stage and of the second; the third has half as many.
    silence_s: seconds without a sign of life after which the other process counts as lost.
    at, call: it kills itself at this call of this function (`tests.faults.interrupt`); None for not.
    hurried: whether its clients of a bucket try again without waiting, and so give up within seconds.
  """

  data: str
  output: str
  cache: str
  steps_file: str
  log: str
  port: int
  index: int
  steps: int
  silence_s: float = processes.HEARTBEAT_S
  at: str | None = None
  call: int = 1
  hurried: bool = False


def study(steps: int) -> codemix.Study:
  """Three stages, which hand over in different ways."""
  return tiny_study.study(staged=tiny_study.balanced_to_text(steps))


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('order')


def run(arguments: argparse.Namespace) -> None:
  order = Order(**json.loads(arguments.order))
  jax.config.update('jax_compilation_cache_dir', order.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  compiler._cache_write = write_compiled
  count_steps(order.steps_file)
  if order.hurried:
    hurry()
  if order.at:
    interrupt(order.at, order.call, 'SIGKILL')
  processes.initialize(f'localhost:{order.port}', COUNT, order.index, JOIN_S, order.silence_s)
  data = codemix.Data(directory=order.data, tokenizer='bytes')
  codemix.run_study(study(order.steps), data, tiny_study.runtime(order.output, save_every=SAVE_EVERY))


def write_compiled(key: str, seconds: float, name: str, backend: object, executable: object, callbacks: object) -> None:
  """Keeps a compiled program in any process; JAX does so in process 0 alone, and the programs of CPUs differ by process.

  There is no public way to it.
  """
  compilation_cache.put_executable_and_time(key, name, executable, backend, int(seconds))


def count_steps(path: str) -> None:
  """Appends a byte to a file after each step whose metrics are written."""
  file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  write = StageLog.write

  @functools.wraps(write)
  def counted(*args):
    written = write(*args)
    os.write(file, b'.')
    return written

  StageLog.write = counted


def hurry() -> None:
  """Lets the clients of a bucket give up after seconds, where users wait for minutes."""
  import gcsfs.retry

  sleep = gcsfs.retry.asyncio.sleep
  gcsfs.retry.asyncio.sleep = lambda seconds, *rest: sleep(min(seconds, 0.2), *rest)
