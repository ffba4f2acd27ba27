"""The device mesh: axes for replicas, rows, parameters, positions and heads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from codemix.checked import From, checked
from codemix.errors import UserError

SUGGESTIONS = 6  # meshes that an error message lists

# -1: all devices that the other axes leave.
Devices = Annotated[int, From(1), 'devices'] | Literal[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class MeshConfig:
  """Devices along each axis; one may be -1: all devices that the others leave.

  The axes are ordered from the outermost, over which the least is sent, to the innermost.

  Raises UserError: a size is neither -1 nor positive, or more than one is -1.

  Attributes:
    replica: copies of all that follows, each with its own rows. With several slices or nodes this
      axis crosses the network between them, and carries one reduction of the gradients' shards a
      step (or a microbatch).
    data: copies of the parameters inside a replica, each with its own rows.
    fsdp: devices that share one copy of the parameters, each with its own rows.
    sequence: devices that share the positions of the same rows (context parallelism).
    tensor: devices that share the heads, the FFN and the vocabulary, for the same positions.
  """

  replica: Devices = 1
  data: Devices = -1
  fsdp: Devices = 1
  sequence: Devices = 1
  tensor: Devices = 1

  def __post_init__(self) -> None:
    if list(self.sizes().values()).count(-1) > 1:
      raise UserError(f'MeshConfig: {self}: only one axis can be -1 (all that the others leave).')

  def __str__(self) -> str:
    return ', '.join(f'{name}={size}' for name, size in self.sizes().items())

  def sizes(self) -> dict[str, int]:
    """Devices along each axis, from the outermost; -1 is not resolved."""
    return dataclasses.asdict(self)


def platform_of(mesh: Mesh | None) -> str:
  """'cpu', 'gpu', 'tpu' or another: that of the mesh, which need not be this machine's; None: JAX's default."""
  platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
  return 'gpu' if platform in ('cuda', 'rocm') else platform


AXES = tuple(field.name for field in dataclasses.fields(MeshConfig))

# The axes that may cross slices; the others send too much for that network.
BETWEEN_SLICES = ('replica', 'data', 'fsdp')


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh with the axes `AXES` over `devices` (default: all).

  The axes are of type Auto: the compiler propagates shardings (newer JAX would make them Explicit).
  Slices (TPU slices joined by DCN, GPU nodes) are laid along 'replica' as far as its size allows, then
  along 'data', then 'fsdp'.

  Raises UserError: the product of the sizes is not the number of devices, or an inner axis would
  cross slices.
  """
  devices = jax.devices() if devices is None else list(devices)
  slices = len({getattr(device, 'slice_index', 0) for device in devices})
  config = _resolve(config, len(devices), slices)
  return Mesh(_arrange(config, devices, slices), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def factorizations(devices: int, slices: int = 1) -> Iterator[MeshConfig]:
  """Every mesh of exactly that many devices whose inner axes stay inside a slice."""
  for sizes in _products(devices, len(AXES)):
    config = MeshConfig(**dict(zip(AXES, sizes, strict=True)))
    if _across(config, slices):
      yield config


def _products(number: int, factors: int) -> Iterator[tuple[int, ...]]:
  """Every way to write `number` as an ordered product; the last factors grow last."""
  if factors == 1:
    yield (number,)
    return
  for last in (n for n in range(1, number + 1) if number % n == 0):
    for rest in _products(number // last, factors - 1):
      yield (*rest, last)


def _across(config: MeshConfig, slices: int) -> dict[str, int] | None:
  """The number of slices along each axis; None: the slices do not fit."""
  across = dict.fromkeys(AXES, 1)
  for name in BETWEEN_SLICES:
    across[name] = math.gcd(slices, config.sizes()[name])
    slices //= across[name]
  return across if slices == 1 else None


def _arrange(config: MeshConfig, devices: Sequence[jax.Device], slices: int) -> np.ndarray:
  """The devices as an array in which neighbours are neighbours in the machine."""
  # An axis of the torus may be split where there is no other layout (16 x 16 as 64 x 4).
  options = {'devices': devices, 'allow_split_physical_axes': True}
  if slices == 1:
    return mesh_utils.create_device_mesh(tuple(config.sizes().values()), **options)
  across = _across(config, slices)
  inside = [size // across[name] for name, size in config.sizes().items()]
  return mesh_utils.create_hybrid_device_mesh(inside, list(across.values()), **options)


def _resolve(config: MeshConfig, devices: int, slices: int) -> MeshConfig:
  sizes = config.sizes()
  given = math.prod(size for size in sizes.values() if size != -1)
  free = [name for name, size in sizes.items() if size == -1]
  if devices % given or (not free and devices != given):
    raise UserError(
      f'MeshConfig: {config} does not fit {devices} device{"s"[: devices != 1]}: '
      f'use {_suggestions(config, devices, slices)}.'
    )
  resolved = dataclasses.replace(config, **dict.fromkeys(free, devices // given))
  if _across(resolved, slices) is None:
    raise UserError(
      f'MeshConfig: {resolved} does not fit {slices} slices of {devices // slices} devices, which '
      f'only {", ".join(BETWEEN_SLICES)} may cross: use {_suggestions(config, devices, slices)}.'
    )
  return resolved


def _suggestions(config: MeshConfig, devices: int, slices: int) -> str:
  """The legal meshes, those first that keep most of the configured sizes."""
  asked = config.sizes().items()

  def kept(mesh: MeshConfig) -> int:
    return len(asked & mesh.sizes().items())

  legal = sorted(factorizations(devices, slices), key=kept, reverse=True)
  listing = ' or '.join(f'({mesh})' for mesh in legal[:SUGGESTIONS])
  return listing + (f' or one of {len(legal) - SUGGESTIONS} more' if legal[SUGGESTIONS:] else '')
