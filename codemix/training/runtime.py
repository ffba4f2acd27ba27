"""How and where a run is executed: nothing here changes what is trained."""

from __future__ import annotations

import dataclasses

from jax.sharding import Mesh

from codemix.errors import UserError, nearest
from codemix.parallel.mesh import MeshConfig
from codemix.parallel.sharding import ShardingRules
from codemix.training.placement import Placement

ON_DAMAGED = ('previous', 'stop')


@dataclasses.dataclass(frozen=True)
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

  output: str = 'runs'
  mesh: MeshConfig = MeshConfig()
  rules: ShardingRules = ShardingRules()
  microbatches: int = 1
  offload_optimizer: bool = False
  save_every: int = 1000
  keep: int | None = 2
  on_damaged: str = 'previous'
  prefetch: int = 4
  peak_tflops: float | None = None
  compilation_cache: str | None = None
  tensorboard: bool = True

  def placement(self, mesh: Mesh) -> Placement:
    """Where the states of a run lie on its devices."""
    return Placement(mesh, self.rules, self.offload_optimizer)

  def rows_at_once(self, batch: int) -> int:
    """Rows of a portion of a batch, which is a whole number of them."""
    return batch // self.microbatches

  def __post_init__(self):
    if self.on_damaged not in ON_DAMAGED:
      raise UserError(
        f"Runtime.on_damaged is {self.on_damaged!r}; it is one of {', '.join(ON_DAMAGED)}.{nearest(self.on_damaged, ON_DAMAGED)}"
      )
    if isinstance(self.microbatches, bool) or not isinstance(self.microbatches, int) or self.microbatches < 1:
      raise UserError(f'Runtime.microbatches is {self.microbatches!r}; it is a whole number of portions, at least 1.')
    if self.save_every < 1:
      raise UserError(f'Runtime.save_every is {self.save_every}; it is a whole number of steps, at least 1.')
    if self.keep is not None and self.keep < 1:
      raise UserError(f'Runtime.keep is {self.keep}; it is a number of checkpoints, at least 1, or None for all.')
