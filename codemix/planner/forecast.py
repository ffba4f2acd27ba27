"""Compiles the programs of a study for a topology and forecasts each stage's time, cost and memory."""

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
  """Assumptions: the MFU that a run reaches (0 to 1), and the price of a chip-hour if it is given."""

  mfu: float = 0.4
  chip_hour: float | None = None


@dataclasses.dataclass(frozen=True)
class ProgramForecast:
  """A compiled program on its chip.

  Attributes:
    limit: bytes of a chip that it may take.
    time: the roofline; None if the chip's peaks are unknown or the compiler gave up.
  """

  compiled: Compiled
  limit: int
  time: StepTime | None

  @property
  def fits(self) -> bool:
    return self.compiled.fits_compiler and self.compiled.memory.total <= self.limit


@dataclasses.dataclass(frozen=True)
class Forecast:
  """Everything that `codemix plan` reports.

  Attributes:
    chip: the peaks of a chip; None for virtual CPU devices.
    stages: each distinct stage once.
    attempts: the changes that were tried for the first program that does not fit.
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
    """Model FLOPs of all steps of a stage."""
    return stage.steps * model_flops(stage.train_step())

  def hours_at_mfu(self, stage: PlannedStage) -> float | None:
    """Chip-hours of a stage at the assumed MFU; None for virtual CPU devices."""
    return chip_hours(self.flops(stage), self.chip, self.prices.mfu) if self.chip else None

  def hours_of_roofline(self, stage: PlannedStage) -> float | None:
    """Chip-hours of a stage if every step takes the roofline's overlapped time: a lower bound."""
    time = self.programs[stage.train_step()].time
    return stage.steps * time.overlapped * self.topology.chips / 3600 if time else None

  def mfu_of_roofline(self, step: Step) -> float | None:
    """The MFU of a step at the roofline's overlapped time: an upper bound."""
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
  """Compiles every program of a study for a topology and computes the cost of its stages.

  Raises UserError if the mesh does not fit the topology, a batch does not divide or the compiler is
  missing.

  Args:
    memory_limit: bytes of a chip that a program may take; None for the chip's memory, or for an equal
      share of this machine's memory if the devices are virtual CPU devices.
    show: takes a line of progress.
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
    # The mesh has the size that a -1 stands for.
    resolved = dataclasses.replace(runtime, mesh=MeshConfig(**mesh.shape))
    attempts = smallest_change(large[0], resolved, devices, limit, compile_change)
  return Forecast(study, runtime, topology, prices, mesh, chip, programs, stages, attempts)


def name_of(step: Step) -> str:
  parameters = step.model.parameter_count()['total']
  kind = 'train step' if step.kind == TRAIN else 'evaluation step'
  return f'the {kind} of {parameters / 1e6:,.1f}M parameters, {step.batch} x {step.length:,}'
