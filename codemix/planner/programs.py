"""The programs that a study runs, compiled ahead of time for devices that are not here."""

from __future__ import annotations

import dataclasses
import re
import time

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.evaluation.scoring import make_evaluate
from codemix.models.config import ModelConfig
from codemix.numerics import pinned
from codemix.parallel.host_memory import PINNED
from codemix.parallel.sharding import batch_sharding, device_bytes
from codemix.planner.collectives import Collective, Place, collectives_of
from codemix.planner.flops import matmul_flops
from codemix.planner.hlo import parse
from codemix.planner.memory_traffic import memory_bytes
from codemix.training.optimizer import Optimizer
from codemix.training.preflight import check_layout
from codemix.training.runtime import Runtime
from codemix.training.train_state import TrainState, abstract_state
from codemix.training.train_step import make_train_step

TRAIN, EVALUATE = 'train', 'evaluate'
BOS_ID = 1  # any: it is a constant of the program, by which documents are counted

# The TPU compiler's two ways to say that a chip's memory is not enough: for all, and for temporaries.
_ALL_TOO_LARGE = re.compile(r'Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm', re.IGNORECASE)
_TEMPORARIES_TOO_LARGE = re.compile(r'temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclasses.dataclass(frozen=True)
class Step:
  """What decides a compiled program, the machine's side left out.

  Attributes:
    kind: TRAIN or EVALUATE.
    model, optimizer: of the recipe.
    batch: rows; of an evaluation those of one portion (`Runtime.rows_at_once`).
    length: tokens of a row.
  """

  kind: str
  model: ModelConfig
  optimizer: Optimizer
  batch: int
  length: int

  @property
  def tokens(self) -> int:
    return self.batch * self.length


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one chip while a program runs.

  Attributes:
    weights, optimizer: of the state; the optimizer's are 0 in an evaluation.
    batch: the rows and what else is given to the program.
    outputs: that do not take the place of an argument.
    temporaries: the most that is held at once besides.
    code: of the program itself.
    required: what the compiler asked for where it gave up; else None.
  """

  weights: int
  optimizer: int
  batch: int
  outputs: int = 0
  temporaries: int = 0
  code: int = 0
  required: int | None = None

  @property
  def total(self) -> int:
    return self.required or sum((self.weights, self.optimizer, self.batch, self.outputs, self.temporaries, self.code))


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A program as the compiler made it, or as far as it came.

  Attributes:
    step: what was compiled.
    memory: on one chip.
    seconds: that tracing and compiling took, by the clock.
    cpu_seconds: of all the machine's cores in that time.
    flops: of all matmuls on all chips, recomputation included.
    compiler_flops: XLA's count for one chip, in which the body of a loop counts once.
    memory_traffic: bytes that one chip reads and writes in main memory.
    collectives: of one step.
    loops_known: whether the text told how often each loop runs; where not, some counts are too low.
  """

  step: Step
  memory: Memory
  seconds: float
  cpu_seconds: float
  flops: float
  compiler_flops: float | None = None
  memory_traffic: float = 0.0
  collectives: tuple[Collective, ...] = ()
  loops_known: bool = True

  @property
  def fits_compiler(self) -> bool:
    return self.memory.required is None


def model_flops(step: Step) -> float:
  """Of one step by arithmetic (`ModelConfig.flops_per_token`); an evaluation is a third of it."""
  per_token = step.model.flops_per_token(step.length)['total']
  return step.tokens * per_token / (1 if step.kind == TRAIN else 3)


def state_on_chip(step: Step, mesh: Mesh, runtime: Runtime) -> tuple[int, int]:
  """Bytes of weights and of optimizer state in one chip's memory, by arithmetic."""
  state = _abstract_state(step, mesh, runtime)
  return _on_chip(state.params), _on_chip(state.opt_state) if step.kind == TRAIN else 0


@pinned()
def compile_step(step: Step, mesh: Mesh, runtime: Runtime) -> Compiled:
  """Traces and compiles a step for the devices of a mesh.

  Args:
    runtime: how parameters lie on the mesh, and in what portions a batch is taken.

  Raises:
    UserError: it does not trace (a batch that does not divide, an attention that is not for this
      platform), or the compiler refuses it for another reason than memory.
  """
  portions = runtime.microbatches if step.kind == TRAIN else 1
  in_portions = dataclasses.replace(runtime, microbatches=portions)
  check_layout(step.model, step.batch, step.length, mesh, in_portions, 'this topology')
  began, cpu_began = time.perf_counter(), time.process_time()
  traced = _trace(step, mesh, runtime)
  flops = matmul_flops(traced.jaxpr)
  weights, optimizer = state_on_chip(step, mesh, runtime)
  batch = _on_chip(_abstract_batch(step, mesh))
  try:
    compiled = traced.lower().compile()
  except jax.errors.JaxRuntimeError as error:
    memory = Memory(weights, optimizer, batch, required=required_bytes(str(error), weights + optimizer + batch))
    return Compiled(step, memory, time.perf_counter() - began, time.process_time() - cpu_began, flops)
  program = parse(compiled.as_text())
  sizes = compiled.memory_analysis()
  return Compiled(
    step=step,
    memory=Memory(
      weights,
      optimizer,
      max(sizes.argument_size_in_bytes - weights - optimizer, 0),
      max(sizes.output_size_in_bytes - sizes.alias_size_in_bytes, 0),
      sizes.temp_size_in_bytes,
      sizes.generated_code_size_in_bytes,
    ),
    seconds=time.perf_counter() - began,
    cpu_seconds=time.process_time() - cpu_began,
    flops=flops,
    compiler_flops=_compiler_flops(compiled),
    memory_traffic=memory_bytes(program),
    collectives=tuple(collectives_of(program, places_of(mesh))),
    loops_known=all(run.known for run in program.runs()),
  )


def places_of(mesh: Mesh) -> list[Place]:
  """Where the devices of a mesh sit, in the order in which a program numbers them."""
  return [
    Place(getattr(device, 'slice_index', None) or 0, tuple(getattr(device, 'coords', None) or ()))
    for device in mesh.devices.flat
  ]


def _abstract_state(step: Step, mesh: Mesh, runtime: Runtime) -> TrainState:
  return abstract_state(step.model, step.optimizer, runtime.placement(mesh))


def _trace(step: Step, mesh: Mesh, runtime: Runtime) -> jax.stages.Traced:
  state = _abstract_state(step, mesh, runtime)
  batch = _abstract_batch(step, mesh)
  if step.kind == EVALUATE:
    del batch['source']
    return make_evaluate(step.model, mesh, runtime.rules).trace(state.params, batch)
  placement = runtime.placement(mesh)
  train_step = make_train_step(step.model, step.optimizer, placement, BOS_ID, runtime.microbatches)
  return train_step.trace(state, batch, jax.ShapeDtypeStruct((), jnp.float32))


def _abstract_batch(step: Step, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
  sharding = batch_sharding(mesh)
  rows = (step.batch, step.length)
  shaped = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
  return {
    **{name: shaped(rows, jnp.int32) for name in ('inputs', 'targets', 'segment_ids', 'positions')},
    'weights': shaped(rows, jnp.float32),
    'source': shaped(rows[:1], jnp.int32),
  }


def _on_chip(tree: object) -> int:
  """Bytes of a tree of sharded arrays in one chip's memory; what rests with its host is not there."""
  return device_bytes([leaf for leaf in jax.tree.leaves(tree) if leaf.sharding.memory_kind != PINNED])


def required_bytes(refusal: str, arguments: int) -> int:
  """What the compiler would have needed on a chip, from its words.

  Args:
    refusal: its message.
    arguments: bytes of what the program is given.

  Raises:
    UserError: it refuses for another reason.
  """
  if found := _ALL_TOO_LARGE.search(refusal):
    beside = 0
  elif found := _TEMPORARIES_TOO_LARGE.search(refusal):
    beside = arguments
  else:
    raise UserError(f'the compiler refuses the step: {refusal.splitlines()[0]}')
  return int(float(found[1]) * _UNITS[found[2].upper()]) + beside


def _compiler_flops(compiled: jax.stages.Compiled) -> float | None:
  counts = compiled.cost_analysis()
  counts = counts[0] if isinstance(counts, list) else counts
  return counts.get('flops') if counts else None
