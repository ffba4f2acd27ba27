"""Seconds from the launch of `codemix train` to its first step, by part.

Each launch is a process with its own output folder that trains the quickstart's model on random tokens:
first with an empty compilation cache, then with the cache that the first launch has filled. The first
step is done when its line is in the stage's metrics; then the process is killed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from codemix.benchmarks.figure import Figure, Sizes
from codemix.errors import CodemixError

RECIPE = ('--gin_file=recipes/balanced_to_text.gin', '--gin_file=runtimes/cpu.gin')
SOURCES = ('local_text', 'local_code')  # those of the recipe
GOALS_S = {'cold': 12.0, 'with the cache': 6.0}
TIMEOUT_S = 600
POLL_S = 0.005

# The process records what JAX compiles, and runs the verb.
_LAUNCH = """
import runpy, sys
from codemix.benchmarks.start import note
note(sys.argv.pop(1))
runpy.run_module('codemix', run_name='__main__', alter_sys=True)
"""
_COMPILED = '/jax/core/compile/backend_compile_duration'
_LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
_IMPORTED = 'imported'


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    repeats: launches of each kind, cold and with the cache in turn; the median counts.
    tokens: of each source.
  """

  repeats: int = 3
  tokens: int = 200_000

def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields seconds to the first step, cold and with the compilation cache, and their parts.

  Args:
    folder: an empty one, for data, results and compiled programs.
  """
  _prepare(folder / 'data', size.tokens)
  launches: dict[str, list[dict[str, float]]] = {kind: [] for kind in GOALS_S}
  for repeat in range(size.repeats):
    cache = folder / f'compiled-{repeat}'
    for taken in launches.values():
      taken.append(launch(folder, cache))
      shutil.rmtree(folder / 'output')
  for kind, taken in launches.items():
    middle = {part: statistics.median(launch[part] for launch in taken) for part in taken[0]}
    yield Figure(
      f'first step, {kind}', middle.pop('first step'), 's', goal=GOALS_S[kind], more_is_better=False
    )
    programs = middle.pop('programs')
    for part, seconds in middle.items():
      yield Figure(f'  of that, {kind}: {part}', seconds, 's')
    yield Figure(f'  programs until then, {kind}', programs, 'programs')


def note(path: str) -> None:
  """Imports what `codemix train` imports, and records that, and each program that JAX compiles from then on.

  Args:
    path: of a file of JSON lines [time.time(), event, seconds of it, the function's name].
  """
  from jax import monitoring

  import codemix.studies.runner  # noqa: F401 (almost all that is imported)

  file = open(path, 'a', buffering=1)  # noqa: SIM115 (until the process ends)

  def write(event: str, seconds: float, fun_name: str = '', **_: object) -> None:
    file.write(json.dumps([time.time(), event, seconds, fun_name]) + '\n')

  write(_IMPORTED, 0.0)
  monitoring.register_event_duration_secs_listener(write)


def _prepare(folder: Path, tokens: int) -> None:
  from codemix.benchmarks.random_store import prepare_random
  from codemix.data.settings import Data

  data = Data(directory=str(folder), tokenizer='bytes')
  for source in SOURCES:
    for split in ('train', 'validation'):
      prepare_random(data, source, split, tokens)


def launch(folder: Path, cache: Path) -> dict[str, float]:
  """Seconds to the first step and of its parts, and the number of programs compiled.

  Raises CodemixError: the process ended, or `TIMEOUT_S` passed, without a step.
  """
  notes, output = folder / 'notes.jsonl', folder / 'output'
  notes.unlink(missing_ok=True)
  bound = {
    'Data.directory': str(folder / 'data'),
    'Data.tokenizer': 'bytes',
    'Runtime.output': str(output),
    'Runtime.compilation_cache': str(cache),
    'Runtime.save_every': 1,  # metrics are put on disk before a save
  }
  words = [*RECIPE, *(f'--gin.{name}={value!r}' for name, value in bound.items())]
  with open(folder / 'errors.txt', 'w+') as errors:
    began = time.time()
    process = subprocess.Popen(
      [sys.executable, '-c', _LAUNCH, str(notes), 'train', *words],
      stdout=subprocess.DEVNULL,
      stderr=errors,
    )
    try:
      ended = _first_step(process, output, began + TIMEOUT_S)
    finally:
      process.kill()
      process.wait()
    if ended is None:
      errors.seek(0)
      raise CodemixError(f'`codemix train` came to no step: {(errors.read().splitlines() or ["it says nothing"])[-1]}')
  lines = [json.loads(line) for line in notes.read_text().splitlines()]
  return _parts(began, ended, [line for line in lines if line[0] <= ended])


def _first_step(process: subprocess.Popen, output: Path, deadline: float) -> float | None:
  """The time of the first line of metrics; None: the process ended, or the time is up, without one."""
  while time.time() < deadline:
    running = process.poll() is None
    if any(path.stat().st_size for path in output.glob('stages/*/metrics.jsonl')):
      return time.time()
    if not running:
      return None
    time.sleep(POLL_S)
  return None


def _parts(began: float, ended: float, notes: Sequence[Sequence]) -> dict[str, float]:
  [imported] = [when for when, event, _, _ in notes if event == _IMPORTED]
  compiled = [(name, seconds) for _, event, seconds, name in notes if event == _COMPILED]
  parts = {'imports': imported - began}
  for program in ('fresh_state', 'train_step'):
    parts[f'compiling or reading {program}'] = sum(s for name, s in compiled if program in name)
  parts['all other programs'] = sum(s for _, s in compiled) - sum(list(parts.values())[1:])
  parts['lowering'] = sum(seconds for _, event, seconds, _ in notes if event == _LOWERED)
  rest = ended - began - sum(parts.values())
  return {
    'first step': ended - began,
    **parts,
    'the rest: plan, tracing, data, the step': rest,
    'programs': len(compiled),
  }
