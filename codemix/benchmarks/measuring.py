"""How benchmarks measure time and memory."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models.cpu.heap import retain_heap
from codemix.parallel.mesh import MeshConfig, make_mesh

Key = TypeVar('Key')
Result = TypeVar('Result')


def seconds(run: Callable[[], object]) -> float:
  """Seconds until the result of `run()` is computed."""
  began = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - began


def medians(
  runs: Mapping[Key, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[Key, float]:
  """Median seconds of each run. The runs take turns, so that other load on the machine slows all of them.

  Args:
    repeats: turns that count.
    warm_up: turns before those.
  """
  turns = [{key: seconds(run) for key, run in runs.items()} for _ in range(warm_up + repeats)]
  return {key: statistics.median(turn[key] for turn in turns[warm_up:]) for key in runs}


def peak_growth(function: Callable[[], object]) -> int:
  """Bytes by which the peak of this process's memory, while the function runs, exceeds the memory before it."""
  Path('/proc/self/clear_refs').write_text('5')  # resets the peak (proc(5))
  before = status_bytes('VmHWM')
  function()
  return status_bytes('VmHWM') - before


def status_bytes(field: str) -> int:
  """A field of this process's status in bytes: VmRSS (resident now), VmHWM (the peak of it)."""
  status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
  return int(status[field].split()[0]) * 2**10


def in_fresh_process(function: Callable[..., Result], *arguments: object) -> Result:
  """`function(*arguments)` in a process of its own, which may start others."""
  with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
    return pool.submit(function, *arguments).result()


def usual_dtype() -> jnp.dtype:
  """The dtype that models are trained in on this platform: CPUs have no fast bfloat16."""
  return jnp.dtype(jnp.float32 if jax.default_backend() == 'cpu' else jnp.bfloat16)


def one_device_mesh() -> Mesh:
  """A mesh of the first device, in a process set up as that of `codemix train`."""
  retain_heap()
  return make_mesh(MeshConfig(data=1), jax.devices()[:1])
