"""How and where a run is executed: nothing here changes what is trained."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from jax.sharding import Mesh

from codemix.checked import Above, From, NotEmpty, Path, checked
from codemix.parallel.mesh import MeshConfig
from codemix.parallel.sharding import ShardingRules
from codemix.training.placement import Placement


@dataclasses.dataclass(frozen=True)
@checked
class Runtime:
  """The machine's side of a run.

  Attributes:
    output: folder of the stages' results, the ledger and the report.
    mesh: how the devices are laid out.
    rules: what of a parameter is split over which axis of the mesh.
    microbatches: portions in which a batch goes through the model, one after
      the other, for less memory; the step is that of the whole batch. Documents
      are scored in portions of as many rows.
    offload_optimizer: whether the optimizer's moments rest in the hosts' memory
      between steps, where the devices can read it by themselves.
    save_every: steps between two checkpoints; a stage's last step is always saved.
    keep: checkpoints kept while a stage trains, the newest; of a stage that is
      done its result is kept alone. None keeps all.
    on_damaged: 'previous' goes on from the newest good checkpoint, after a
      warning; 'stop' ends the run.
    prefetch: batches read ahead of the step; of batches of a few rows up to twice as many.
    peak_tflops: the device's peak in the model's compute type (TFLOP/s); MFU is
      told only where this is given.
    compilation_cache: folder of compiled programs, kept between runs; None for none.
    tensorboard: whether to mirror the metrics for TensorBoard.
  """

  output: Annotated[Path, NotEmpty()] = 'runs'
  mesh: MeshConfig = MeshConfig()
  rules: ShardingRules = ShardingRules()
  microbatches: Annotated[int, From(1), 'portions'] = 1
  offload_optimizer: bool = False
  save_every: Annotated[int, From(1), 'steps'] = 1000
  keep: Annotated[int, From(1), 'checkpoints'] | None = 2
  on_damaged: Literal['previous', 'stop'] = 'previous'
  prefetch: Annotated[int, From(1), 'batches'] = 4
  peak_tflops: Annotated[float, Above(0)] | None = None
  compilation_cache: Path | None = None
  tensorboard: bool = True

  def placement(self, mesh: Mesh) -> Placement:
    """Where the states of a run lie on its devices."""
    return Placement(mesh, self.rules, self.offload_optimizer)

  def rows_at_once(self, batch: int) -> int:
    """Rows of a portion of a batch, which is a whole number of them."""
    return batch // self.microbatches
