"""A study on a topology: every program compiled, every stage's time and cost, and what does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jax.sharding import Mesh

from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.topology import Topology, topology_devices
from codemix.planner.alternatives import Attempt, Change, smallest_change
from codemix.planner.chips import CHIPS, Chip
from codemix.planner.programs import TRAIN, Compiled, Step, compile_step, model_flops
from codemix.planner.progress import still_at_work
from codemix.planner.roofline import StepTime, chip_hours, step_time
from codemix.planner.stages import PlannedStage, distinct_steps, planned_stages
from codemix.planner.this_machine import memory_bytes
from codemix.studies.preflight import check_layouts
from codemix.studies.recipe import Study
from codemix.training.runtime import Runtime

Show = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Prices:
  """What is assumed.

  Attributes:
    mfu: share of the peak that a run reaches.
    chip_hour: price of one; None where it is not given.
  """

  mfu: float = 0.4
  chip_hour: float | None = None


@dataclasses.dataclass(frozen=True)
class ProgramForecast:
  """A compiled program on its chip.

  Attributes:
    compiled: the program.
    limit: bytes of a chip.
    time: the roofline; None where the chip's peaks are not known, or the program was not made.
  """

  compiled: Compiled
  limit: int
  time: StepTime | None

  @property
  def fits(self) -> bool:
    return self.compiled.fits_compiler and self.compiled.memory.total <= self.limit


@dataclasses.dataclass(frozen=True)
class Forecast:
  """Everything that `codemix plan` tells.

  Attributes:
    study, runtime, topology, prices: as given.
    mesh: over the topology's devices.
    chip: its peaks; None for virtual CPU devices.
    programs: by step.
    stages: each distinct one.
    attempts: for the first program that does not fit, what was tried.
  """

  study: Study
  runtime: Runtime
  topology: Topology
  prices: Prices
  mesh: Mesh
  chip: Chip | None
  programs: dict[Step, ProgramForecast]
  stages: list[PlannedStage]
  attempts: list[Attempt]

  @property
  def fits(self) -> bool:
    return all(program.fits for program in self.programs.values())

  def too_large(self) -> list[ProgramForecast]:
    return [program for program in self.programs.values() if not program.fits]

  def flops(self, stage: PlannedStage) -> float:
    """Model FLOPs of a stage."""
    return stage.steps * model_flops(stage.train_step())

  def hours_at_mfu(self, stage: PlannedStage) -> float | None:
    """Chip-hours of a stage at the stated MFU."""
    return chip_hours(self.flops(stage), self.chip, self.prices.mfu) if self.chip else None

  def hours_of_roofline(self, stage: PlannedStage) -> float | None:
    """Chip-hours of a stage at the roofline's best."""
    time = self.programs[stage.train_step()].time
    return stage.steps * time.overlapped * self.topology.chips / 3600 if time else None

  def mfu_of_roofline(self, step: Step) -> float | None:
    """The MFU that the roofline's best comes to: the most that can be hoped for."""
    time = self.programs[step].time
    if not (time and self.chip):
      return None
    return model_flops(step) / (time.overlapped * self.topology.chips * self.chip.flops)


def forecast(
  study: Study,
  runtime: Runtime,
  topology: Topology,
  prices: Prices = Prices(),
  *,
  memory_limit: int | None = None,
  show: Show = lambda line: None,
) -> Forecast:
  """Compiles every program of a study for a topology, and works out what its stages come to.

  Args:
    memory_limit: bytes of a chip that a program may take; None for all that the chip has. Virtual
      CPU devices share the memory of this machine.
    show: takes a line of progress.

  Raises:
    UserError: the mesh does not fit the topology, a batch does not divide, or the compiler is missing.
  """
  chip = CHIPS.get(topology.chip)
  limit = memory_limit or (chip.memory_bytes if chip else memory_bytes() // topology.chips)
  stages = planned_stages(study)
  devices = topology_devices(topology)
  mesh = make_mesh(runtime.mesh, devices)
  check_layouts(study, runtime, mesh)
  programs = {}
  for step in distinct_steps(study, stages, runtime):
    with still_at_work(f'compiling {name_of(step)} for {topology}', show):
      compiled = compile_step(step, mesh, runtime)
    time = step_time(compiled, chip, topology) if chip and compiled.fits_compiler else None
    programs[step] = ProgramForecast(compiled, limit, time)

  def compile_change(change: Change) -> Compiled:
    with still_at_work(f'trying {", ".join(change.bindings)}', show):
      return compile_step(change.step, make_mesh(change.runtime.mesh, devices), change.runtime)

  large = [step for step, program in programs.items() if not program.fits]
  attempts = []
  if large:
    # With the sizes that a -1 stands for.
    resolved = dataclasses.replace(runtime, mesh=MeshConfig(**mesh.shape))
    attempts = smallest_change(large[0], resolved, devices, limit, compile_change)
  return Forecast(study, runtime, topology, prices, mesh, chip, programs, stages, attempts)


def name_of(step: Step) -> str:
  parameters = step.model.parameter_count()['total']
  kind = 'train step' if step.kind == TRAIN else 'evaluation step'
  return f'the {kind} of {parameters / 1e6:,.1f}M parameters, {step.batch} x {step.length:,}'
