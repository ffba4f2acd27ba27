"""How long `codemix train` takes from its launch to its first step, and where the seconds go.

The verb itself is launched, each time in a process and an output folder of its own, on the
quickstart's model and stages with made-up tokens: first with nothing compiled before, then again with
the programs that the first has left in its compilation cache. The first step is done when its line is
in the stage's metrics; then the process is killed.
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

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.sizes import require_counts
from codemix.errors import CodemixError

RECIPE = ('--gin_file=recipes/balanced_to_text.gin', '--gin_file=runtimes/cpu.gin')
SOURCES = ('local_text', 'local_code')  # that this recipe reads and is scored on
GOALS_S = {'cold': 12.0, 'with the cache': 6.0}
TIMEOUT_S = 600
POLL_S = 0.005

# What the process runs: the verb, after a listener to what JAX compiles.
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
class Size:
  """How much is measured.

  Attributes:
    repeats: launches of each kind, cold and with the cache in turn; medians are said.
    tokens: of each source.
  """

  repeats: int = 3
  tokens: int = 200_000

  def __post_init__(self) -> None:
    require_counts(self)


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
      taken.append(_launch(folder, cache))
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
  """Imports what the verb will, and lets this process note in a file when it had, and each program that JAX makes.

  Its lines are [time.time(), what, of which function, seconds].
  """
  from jax import monitoring

  import codemix.studies.runner  # noqa: F401 (almost all that is imported)

  file = open(path, 'a', buffering=1)  # noqa: SIM115 (until the process ends)

  def write(event: str, seconds: float, fun_name: str = '', **_: object) -> None:
    file.write(json.dumps([time.time(), event, fun_name, seconds]) + '\n')

  write(_IMPORTED, 0.0)
  monitoring.register_event_duration_secs_listener(write)


def _prepare(folder: Path, tokens: int) -> None:
  from codemix.benchmarks.random_store import prepare_random
  from codemix.data.settings import Data

  data = Data(directory=str(folder), tokenizer='bytes')
  for source in SOURCES:
    for split in ('train', 'validation'):
      prepare_random(data, source, split, tokens)


def _launch(folder: Path, cache: Path) -> dict[str, float]:
  """Seconds until the first step was done, and the parts of them."""
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
  """When the first line of metrics was there; None where the process ends, or time is up, without one."""
  while time.time() < deadline:
    running = process.poll() is None
    if any(path.stat().st_size for path in output.glob('stages/*/metrics.jsonl')):
      return time.time()
    if not running:
      return None
    time.sleep(POLL_S)
  return None


def _parts(began: float, ended: float, notes: Sequence[Sequence]) -> dict[str, float]:
  """The parts of a launch by name, in seconds, and how many programs were made in it."""
  [imported] = [when for when, what, _, _ in notes if what == _IMPORTED]
  compiled = [(name, seconds) for _, what, name, seconds in notes if what == _COMPILED]
  parts = {'imports': imported - began}
  for program in ('fresh_state', 'train_step'):
    parts[f'compiling or reading {program}'] = sum(s for name, s in compiled if program in name)
  parts['all other programs'] = sum(s for _, s in compiled) - sum(list(parts.values())[1:])
  parts['lowering'] = sum(seconds for _, what, _, seconds in notes if what == _LOWERED)
  rest = ended - began - sum(parts.values())
  return {
    'first step': ended - began,
    **parts,
    'the rest: plan, tracing, data, the step': rest,
    'programs': len(compiled),
  }
