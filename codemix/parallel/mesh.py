"""The device mesh: data-parallel, fully-sharded and tensor-parallel axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import jax
from jax.sharding import AxisType, Mesh

from codemix.errors import UserError

SUGGESTIONS = 6  # meshes that an error message lists


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How many devices lie along each axis; one of them may be -1: all that the others leave.

  Attributes:
    data: replicas of the parameters, each with rows of its own.
    fsdp: devices that share one copy of the parameters, each with rows of its own.
    tensor: devices that share the heads, the FFN and the vocabulary, for the same rows.

  Raises:
    UserError: a size that is neither -1 nor positive, or more than one -1.
  """

  data: int = -1
  fsdp: int = 1
  tensor: int = 1

  def __post_init__(self) -> None:
    for name, size in self.sizes().items():
      if isinstance(size, bool) or not isinstance(size, int) or (size < 1 and size != -1):
        raise UserError(f'MeshConfig.{name} is {size!r}: give a number of devices, or -1.')
    if list(self.sizes().values()).count(-1) > 1:
      raise UserError(f'MeshConfig: {self}: only one axis can be -1 (all that the others leave).')

  def __str__(self) -> str:
    return ', '.join(f'{name}={size}' for name, size in self.sizes().items())

  def sizes(self) -> dict[str, int]:
    return dataclasses.asdict(self)


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh with the axes 'data', 'fsdp' and 'tensor' over `devices` (default: all).

  The axes are of type Auto: the compiler propagates shardings (newer JAX would make them Explicit).

  Raises:
    UserError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = _resolve(config, len(devices)).sizes()
  return jax.make_mesh(
    tuple(sizes.values()),
    tuple(sizes),
    axis_types=(AxisType.Auto,) * len(sizes),
    devices=devices,
  )


def factorizations(devices: int) -> Iterator[MeshConfig]:
  """Every mesh of exactly that many devices."""
  divisors = [n for n in range(1, devices + 1) if devices % n == 0]
  for tensor in divisors:
    for fsdp in divisors:
      if devices % (tensor * fsdp) == 0:
        yield MeshConfig(devices // (tensor * fsdp), fsdp, tensor)


def _resolve(config: MeshConfig, devices: int) -> MeshConfig:
  sizes = config.sizes()
  given = math.prod(size for size in sizes.values() if size != -1)
  free = [name for name, size in sizes.items() if size == -1]
  if devices % given or (not free and devices != given):
    raise UserError(
      f'MeshConfig: {config} does not fit {devices} device{"s"[: devices != 1]}: '
      f'use {_suggestions(config, devices)}.'
    )
  return dataclasses.replace(config, **dict.fromkeys(free, devices // given))


def _suggestions(config: MeshConfig, devices: int) -> str:
  """The meshes that keep most of what was asked for, one after the other."""
  asked = config.sizes().items()

  def kept(mesh: MeshConfig) -> int:
    return len(asked & mesh.sizes().items())

  legal = sorted(factorizations(devices), key=kept, reverse=True)
  listing = ' or '.join(f'({mesh})' for mesh in legal[:SUGGESTIONS])
  return listing + (f' or one of {len(legal) - SUGGESTIONS} more' if legal[SUGGESTIONS:] else '')
