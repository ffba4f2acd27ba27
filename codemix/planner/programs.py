"""Compiles the programs of a study ahead of time, for devices that this machine need not have."""

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
BOS_ID = 1  # a constant of the program, by which documents are counted; its value does not matter

# The TPU compiler's two messages if a chip's memory is too small: for everything, and for temporaries.
_ALL_TOO_LARGE = re.compile(r'Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm', re.IGNORECASE)
_TEMPORARIES_TOO_LARGE = re.compile(r'temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclasses.dataclass(frozen=True)
class Step:
  """Everything that determines a compiled program except the machine and the runtime.

  Attributes:
    kind: TRAIN or EVALUATE.
    batch: rows; in an evaluation, the rows of one microbatch (`Runtime.rows_at_once`).
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
    weights, optimizer: the train state; `optimizer` is 0 in an evaluation.
    batch: all other arguments of the program.
    outputs: results that do not reuse the memory of an argument.
    temporaries: the most that is allocated for intermediate results at any time.
    code: the program itself.
    required: what the compiler asked for if it gave up, else None.
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
  """A compiled step; if the compiler gave up, only what is known without it.

  Attributes:
    memory: on one chip.
    seconds: wall time of tracing and compiling.
    cpu_seconds: processor time of this process in those seconds, over all cores.
    flops: all matmuls on all chips, with recomputation.
    compiler_flops: XLA's count for one chip, in which the body of a loop counts once.
    memory_traffic: bytes that one chip reads from and writes to main memory.
    loops_known: False if the text does not say how often some loop runs; then counts are too low.
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
  """Model FLOPs of one step (`ModelConfig.flops_per_token`); an evaluation has no backward pass, so a third."""
  per_token = step.model.flops_per_token(step.length)['total']
  return step.tokens * per_token / (1 if step.kind == TRAIN else 3)


def state_on_chip(step: Step, mesh: Mesh, runtime: Runtime) -> tuple[int, int]:
  """(bytes of weights, bytes of optimizer state) in one chip's memory, computed from shapes."""
  state = _abstract_state(step, mesh, runtime)
  return _on_chip(state.params), _on_chip(state.opt_state) if step.kind == TRAIN else 0


@pinned()
def compile_step(step: Step, mesh: Mesh, runtime: Runtime) -> Compiled:
  """Traces and compiles a step for the devices of a mesh.

  If the chip's memory is too small for the compiler, the result has `Memory.required`. Raises UserError
  if the step does not trace (a batch that does not divide, an attention of another platform) or the
  compiler refuses it for another reason.
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
  """The places of a mesh's devices, in the order in which a program numbers them."""
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
  """Bytes of a tree of sharded arrays in one chip's memory, without arrays in host memory."""
  return device_bytes([leaf for leaf in jax.tree.leaves(tree) if leaf.sharding.memory_kind != PINNED])


def required_bytes(refusal: str, arguments: int) -> int:
  """Bytes that the compiler needs on a chip, read from its error message.

  Raises UserError if the message has another reason.

  Args:
    refusal: the message.
    arguments: bytes of the program's arguments on a chip.
  """
  if found := _ALL_TOO_LARGE.search(refusal):
    other = 0
  elif found := _TEMPORARIES_TOO_LARGE.search(refusal):
    other = arguments
  else:
    raise UserError(f'the compiler refuses the step: {refusal.splitlines()[0]}')
  return int(float(found[1]) * _UNITS[found[2].upper()]) + other


def _compiler_flops(compiled: jax.stages.Compiled) -> float | None:
  counts = compiled.cost_analysis()
  counts = counts[0] if isinstance(counts, list) else counts
  return counts.get('flops') if counts else None
