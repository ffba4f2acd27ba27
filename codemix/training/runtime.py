"""How and where a run is executed; nothing here changes what is trained."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from jax.sharding import Mesh

from codemix.checked import Above, From, NotEmpty, Path, checked
from codemix.errors import UserError
from codemix.parallel.mesh import MeshConfig
from codemix.parallel.sharding import ShardingRules
from codemix.training.placement import Placement


@dataclasses.dataclass(frozen=True)
@checked
class Runtime:
  """The machine's side of a run.

  Attributes:
    output: folder of the stages' results, the ledger and the report: on a disk or in a bucket, gs://.
    mesh: the device mesh.
    rules: which axis of a parameter is sharded over which axis of the mesh.
    microbatches: number of portions in which a batch goes through the model, to
      save memory; the step is that of the whole batch. Documents are scored in
      portions of the same number of rows.
    offload_optimizer: whether the optimizer's moments are kept in host memory
      between steps, on platforms whose devices can read it.
    save_every: steps between two checkpoints; a stage's last step is always saved.
    keep: number of newest checkpoints kept while a stage trains; a finished
      stage keeps only its last. None keeps all.
    keep_every: checkpoints of steps of the run that are multiples of it are kept for ever; a multiple of `save_every`.
    on_damaged: 'previous' resumes from the newest good checkpoint, after a
      warning; 'stop' ends the run.
    prefetch: batches read ahead of the step; up to twice as many if batches have few rows.
    peak_tflops: the device's peak in the model's compute type (TFLOP/s); MFU is
      reported only if this is given.
    compilation_cache: folder of compiled programs, kept between runs, on a disk or in a gs:// bucket; None for none.
    stuck_after: seconds without progress after which the run ends with exit code 76, and the
      stacks of all threads of all processes in their logs. None: for a step 20 times the median of the
      last steps, at least 10 minutes; for anything else, such as a save, 30 minutes. What may compile has
      at least 30 minutes.
    tensorboard: whether to mirror the metrics for TensorBoard.
  """

  output: Annotated[Path, NotEmpty()] = 'runs'
  mesh: MeshConfig = MeshConfig()
  rules: ShardingRules = ShardingRules()
  microbatches: Annotated[int, From(1), 'portions'] = 1
  offload_optimizer: bool = False
  save_every: Annotated[int, From(1), 'steps'] = 1000
  keep: Annotated[int, From(1), 'checkpoints'] | None = 2
  keep_every: Annotated[int, From(1), 'steps'] | None = None
  on_damaged: Literal['previous', 'stop'] = 'previous'
  prefetch: Annotated[int, From(1), 'batches'] = 4
  peak_tflops: Annotated[float, Above(0)] | None = None
  compilation_cache: Path | None = None
  stuck_after: Annotated[float, Above(0), 'seconds'] | None = None
  tensorboard: bool = True

  def __post_init__(self):
    if self.output.startswith('s3://'):
      raise UserError(f"Runtime.output is '{self.output}', and Orbax writes checkpoints to disks and to gs://, not to s3://. Bind one of these; Data.directory may be s3://.")

  def placement(self, mesh: Mesh) -> Placement:
    """How the states of a run are placed on its devices."""
    return Placement(mesh, self.rules, self.offload_optimizer)

  def rows_at_once(self, batch: int) -> int:
    """Rows of a microbatch of a batch."""
    return batch // self.microbatches
