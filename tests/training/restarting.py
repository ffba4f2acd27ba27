"""One process of a start of a run that is started again and again with other processes and meshes.

    python -m tests.training.restarting DATA OUTPUT RECORDS CACHE COORDINATOR COUNT INDEX MESH [--stop_after N]

DATA and OUTPUT may be in a bucket. It leaves `INDEX.npz` in RECORDS: `first` (the step of the stage at which it began) and, for each key of a
batch, what its devices held of each global batch that was trained on, with `held/KEY`, where that is. With --stop_after, process 0 sends itself
SIGTERM in its N-th step, as a machine that is taken away.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax
import numpy as np

import codemix
from codemix.errors import CodemixError
from codemix.parallel import processes
from codemix.parallel.mesh import MeshConfig
from codemix.training import loop
from codemix.training.stage_log import StageLog
from tests import tiny_study
from tests.faults.driver import interrupt
from tests.training.host import KEYS, slow_down

STEPS = 40  # more than all starts but the last take together: a stop is agreed some steps after the signal
MESHES = {
  'data': MeshConfig(data=-1),
  'rows': MeshConfig(data=-1, fsdp=2),
  'weights': MeshConfig(data=1, fsdp=-1),
  'replicas': MeshConfig(replica=-1, data=1, fsdp=2, sequence=2),
}


def study() -> codemix.Study:
  stage = tiny_study.stage('mixed', {'text': 0.7, 'code': 0.3}, STEPS)
  return codemix.Study(name='restarts', recipes={'only': tiny_study.recipe(stage)})


def record_steps() -> tuple[list[int], list[dict[str, np.ndarray]]]:
  """Two lists that fill: steps whose metrics were read; what this process's devices held of each batch."""
  steps: list[int] = []
  batches: list[dict[str, np.ndarray]] = []
  make_train_step, write = loop.make_train_step, StageLog.write

  def make_recording_step(*arguments):
    train_step = make_train_step(*arguments)

    def step(state, batch, rate):
      batches.append(_held(batch))
      return train_step(state, batch, rate)

    return step

  def recording_write(log, index, values):
    steps.append(index)
    return write(log, index, values)

  loop.make_train_step, StageLog.write = make_recording_step, recording_write
  return steps, batches


def _held(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
  found = {}
  for key in KEYS:
    value = batch[key]
    found[key], found[f'held/{key}'] = np.zeros(value.shape, value.dtype), np.zeros(value.shape, bool)
    for shard in value.addressable_shards:
      found[key][shard.index] = shard.data
      found[f'held/{key}'][shard.index] = True
  return found


def main() -> int:
  parser = argparse.ArgumentParser()
  for name in ('data', 'output', 'records', 'cache', 'coordinator'):
    parser.add_argument(name)
  parser.add_argument('count', type=int)
  parser.add_argument('index', type=int)
  parser.add_argument('mesh', choices=MESHES)
  parser.add_argument('--stop_after', type=int)
  arguments = parser.parse_args()
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  steps, batches = record_steps()
  if arguments.stop_after:
    slow_down()
    if not arguments.index:
      interrupt('codemix.training.stage_log:StageLog.write', arguments.stop_after, 'SIGTERM')
  code = 0
  try:
    if arguments.count > 1:
      processes.initialize(arguments.coordinator, arguments.count, arguments.index, timeout_s=120)
    data = codemix.Data(directory=arguments.data, tokenizer='bytes')
    codemix.run_study(study(), data, tiny_study.runtime(arguments.output, keep=None, mesh=MESHES[arguments.mesh]))
  except CodemixError as error:
    print(error, file=sys.stderr)
    code = error.exit_code
  if batches:
    whole = {key: np.stack([batch[key] for batch in batches]) for key in batches[0]}
    np.savez(Path(arguments.records) / f'{arguments.index}.npz', first=steps[0], **whole)
  if arguments.count > 1:
    processes.leave(code)
  return code


if __name__ == '__main__':
  sys.exit(main())
