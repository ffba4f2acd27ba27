"""One of several processes that train a study together.

    python -m tests.training.host DATA OUTPUT CACHE COORDINATOR COUNT INDEX [--mesh NAME]
        [--send SIGNAL --call N]

Each leaves `batches-0.INDEX.npz` and `batches-17.INDEX.npz` in OUTPUT: what its devices hold of the
global batches of steps 0-50, and of 17-50 as a resumed run reads them. Then a shorter study is
trained, with a checkpoint after step 17; with --send, the process sends itself a
signal in step --call, and its steps are so slow that there are some left when JAX has seen it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import jax
import numpy as np

import codemix
from codemix.data.batches import loader
from codemix.errors import CodemixError
from codemix.parallel import processes
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding
from codemix.training.stage_log import StageLog
from tests import tiny_study
from tests.faults.driver import interrupt

READ, TRAINED, RESUMED = 51, 22, 17  # steps
MESHES = {
  'rows': MeshConfig(data=-1, fsdp=2),
  'replicas': MeshConfig(replica=-1, data=1, fsdp=2, sequence=2),
  'positions': MeshConfig(data=1, sequence=-1),  # of the same rows in different processes
}
KEYS = ('inputs', 'targets', 'segment_ids', 'positions', 'weights', 'source')


def study(steps: int) -> codemix.Study:
  stage = tiny_study.stage('mixed', {'text': 0.7, 'code': 0.3}, steps)
  return codemix.Study(
    name='hosts', recipes={'only': tiny_study.recipe(stage)}, validation=('text', 'code')
  )


def runtime(output: Path, mesh: str) -> codemix.Runtime:
  return tiny_study.runtime(output, save_every=RESUMED, keep=None, mesh=MESHES[mesh])


def held_batches(data: codemix.Data, first: int, mesh: str) -> dict[str, np.ndarray]:
  """What the devices of this process hold of the stage's batches from step `first` on.

  Returns:
    arrays [steps, rows, ...] of whole global batches, zero elsewhere; 'held': bool [rows].
  """
  plan = codemix.plan_study(study(READ), data)
  [stage] = plan.stages()
  rows = stage.rows(plan.sources)
  sharding = batch_sharding(make_mesh(MESHES[mesh]))
  batches = list(loader.batches(rows, stage.stage.batch, range(first, READ), sharding, prefetch=2))
  held = np.zeros(stage.stage.batch, bool)
  for shard in batches[0]['source'].addressable_shards:
    held[shard.index] = True
  return {'held': held, **{key: np.stack([_fill(batch[key]) for batch in batches]) for key in KEYS}}


def _fill(value: jax.Array) -> np.ndarray:
  whole = np.zeros(value.shape, value.dtype)
  for shard in value.addressable_shards:
    whole[shard.index] = shard.data
  return whole


def slow_down() -> None:
  write = StageLog.write

  def slowly(*arguments):
    time.sleep(0.5)
    return write(*arguments)

  StageLog.write = slowly


def main() -> int:
  parser = argparse.ArgumentParser()
  for name in ('data', 'output', 'cache', 'coordinator'):
    parser.add_argument(name)
  parser.add_argument('count', type=int)
  parser.add_argument('index', type=int)
  parser.add_argument('--mesh', default='rows', choices=MESHES)
  parser.add_argument('--send')
  parser.add_argument('--call', type=int)
  arguments = parser.parse_args()
  if arguments.send:
    slow_down()
    interrupt('codemix.training.stage_log:StageLog.write', arguments.call, arguments.send)
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  try:
    processes.initialize(arguments.coordinator, arguments.count, arguments.index, timeout_s=120)
    data = codemix.Data(directory=arguments.data, tokenizer='bytes')
    for first in (0, RESUMED):
      path = Path(arguments.output) / f'batches-{first}.{arguments.index}.npz'
      np.savez(path, **held_batches(data, first, arguments.mesh))
    codemix.run_study(study(TRAINED), data, runtime(Path(arguments.output), arguments.mesh))
  except CodemixError as error:
    print(error, file=sys.stderr)
    processes.leave(error.exit_code)
    return error.exit_code
  processes.leave(0)
  return 0


if __name__ == '__main__':
  sys.exit(main())
