"""Whether hours of training leak: memory, handles and threads of a process that trains stages, saves and evaluates.

A study of three stages on random prepared data, as `codemix study` runs it. `folder` may be in a bucket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import status_bytes
from codemix.benchmarks.random_store import prepare_random
from codemix.data.settings import Data
from codemix.errors import Preempted
from codemix.models.config import ModelConfig
from codemix.studies.recipe import Recipe, Study
from codemix.studies.runner import run_study
from codemix.training.goodput import read_times, total
from codemix.training.runtime import Runtime
from codemix.training.schedules import Constant
from codemix.training.stage import Stage

SOURCES = {'text': 0.75, 'code': 0.25}
STAGES = ('pretrain', 'continued', 'cooldown')
MOST_STEPS = 10**6
WARM_UP = 0.25  # of the time: caches of libraries fill


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How long, and of what.

  Attributes:
    minutes: about so long.
    rows, length: of a batch; tokens of a row.
    layers, width: of the decoder.
    interval: steps between two saves, and between two evaluations.
    begin: steps of each of the first two stages.
    every_s: seconds between two samples.
  """

  minutes: int = 120
  rows: int = 8
  length: int = 128
  layers: int = 4
  width: int = 96
  interval: int = 500
  begin: int = 1000
  every_s: int = 10


@dataclasses.dataclass(frozen=True)
class Sample:
  """This process at a moment: seconds since the begin, resident bytes, open handles, threads."""

  seconds: float
  memory: int
  handles: int
  threads: int


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields slopes of memory, handles and threads after the warm-up, and the goodput of all stages."""
  data = Data(directory=str(folder / 'data'), tokenizer='bytes')
  for name in SOURCES:
    for split in ('train', 'validation'):
      prepare_random(data, name, split, 2**20 if split == 'train' else 2**13)
  samples: list[Sample] = []
  # It stops as a preempted run does: how many steps fill the time is not known before.
  sampler = threading.Thread(target=_sample, args=(samples, size), daemon=True)
  sampler.start()
  output = folder / 'run'
  with contextlib.suppress(Preempted):
    _run(data, output, size)
  yield from figures(samples)
  times = total(found for stage in sorted((output / 'stages').iterdir()) if (found := read_times(stage)))
  yield Figure('trained', times.total / 60, 'minutes')
  yield Figure('goodput', 100 * times.goodput, '%', goal=95)


def figures(samples: list[Sample]) -> Iterator[Figure]:
  """Slopes by least squares over the samples after the warm-up."""
  kept = samples[int(WARM_UP * len(samples)) :]
  hours = np.array([sample.seconds for sample in kept]) / 3600
  slope = lambda values: float(np.polyfit(hours, np.asarray(values, float), 1)[0])
  memory = [sample.memory / 2**20 for sample in kept]
  yield Figure('memory after the warm-up', memory[0], 'MiB')
  yield Figure('memory at the end', memory[-1], 'MiB')
  yield Figure('memory an hour', slope(memory), 'MiB', goal=16, more_is_better=False)
  yield Figure('handles an hour', slope([sample.handles for sample in kept]), '', goal=1, more_is_better=False)
  yield Figure('threads an hour', slope([sample.threads for sample in kept]), '', goal=1, more_is_better=False)


def _sample(samples: list[Sample], size: Size) -> None:
  began = time.monotonic()
  while (seconds := time.monotonic() - began) < 60 * size.minutes:
    memory, handles = status_bytes('VmRSS'), len(os.listdir('/proc/self/fd'))
    samples.append(Sample(seconds, memory, handles, len(os.listdir('/proc/self/task'))))
    time.sleep(size.every_s)
  signal.raise_signal(signal.SIGTERM)


def _run(data: Data, output: Path, size: Size) -> None:
  """Trains three stages, of which the last is longer than the time."""
  model = ModelConfig(
    vocab_size=259, layers=size.layers, width=size.width, ffn_width=8 * size.width // 3, heads=max(size.width // 32, 1), head_dim=32, dtype='float32'
  )
  steps = (size.begin, size.begin, MOST_STEPS)
  stages = tuple(
    Stage(name, count * size.rows * size.length, SOURCES, size.rows, Constant(1e-3), evaluate_every=size.interval)
    for name, count in zip(STAGES, steps, strict=True)
  )
  recipe = Recipe(stages=stages, model=model, length=size.length, max_epochs=1e9)
  runtime = Runtime(output=str(output), save_every=size.interval)
  run_study(Study(name='soak', recipes={'soak': recipe}, baseline='soak'), data, runtime)
