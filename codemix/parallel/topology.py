"""Devices of another machine, to compile for ahead of time.

A TPU topology is written 'v5e:16x16': the chip, and the chips along each side of the torus. 'cpu:8' are
virtual CPU devices, which compile fast and need no libtpu.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import re

import jax

from codemix.errors import UserError, nearest
from codemix.parallel.libtpu import skip_tpu_discovery

# Slices that can be booked: cloud.google.com/tpu/docs/v5e and /v6e, section "Configurations".
_FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
# The common ones of cloud.google.com/tpu/docs/v4 and /v5p; above one cube of 4x4x4 every side is a
# multiple of 4, and the sides do not fall.
_CUBOID = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8), (8, 8, 8), (8, 8, 16))
SHAPES = {'v4': _CUBOID, 'v5e': _FLAT, 'v5p': _CUBOID, 'v6e': _FLAT}
MOST_CHIPS = {'v4': 4096, 'v5p': 6144}  # of one slice
MOST_CPUS = 512


@dataclasses.dataclass(frozen=True)
class Topology:
  """One or several slices of TPU chips, or virtual CPU devices.

  Attributes:
    chip: 'v4', 'v5e', 'v5p', 'v6e', or 'cpu'.
    shape: chips along each side of one slice.
    slices: slices, joined by the data-center network.
  """

  chip: str
  shape: tuple[int, ...]
  slices: int = 1

  @property
  def chips(self) -> int:
    """The chips of all slices."""
    return self.slices * math.prod(self.shape)

  def __str__(self) -> str:
    slices = f'{self.slices} slices of ' if self.slices > 1 else ''
    return f'{slices}{self.chip}:{"x".join(map(str, self.shape))}'

  def wraps(self, side: int) -> bool:
    """Whether the chips along a side form a ring, so that a collective uses both directions.

    v5e and v6e: only the full side of 16; v4 and v5p: multiples of a cube's 4.
    """
    size = self.shape[side]
    return size == 16 if len(self.shape) == 2 else size % 4 == 0


def parse_topology(text: str, slices: int = 1) -> Topology:
  """'v5e:16x16' as a Topology.

  Raises UserError: the text is not of that form, the chip is unknown, or no slice has that shape.
  """
  chip, _, sides = text.strip().lower().partition(':')
  if chip not in (*SHAPES, 'cpu'):
    known = ', '.join(SHAPES)
    raise UserError(
      f"--topology={text}: '{chip}' is not a chip that codemix knows ({known}, and cpu for virtual devices).{nearest(chip, SHAPES)}"
    )
  if not re.fullmatch(r'\d+(x\d+)*', sides):
    example = 'cpu:8' if chip == 'cpu' else f'{chip}:{_written(SHAPES[chip][3])}'
    raise UserError(f'--topology={text}: write the chip and the sides of a slice, as in {example}.')
  shape = tuple(map(int, sides.split('x')))
  if slices < 1:
    raise UserError(f'--slices={slices}: it is a whole number of slices, at least 1.')
  if chip == 'cpu':
    _check_cpus(text, shape, slices)
  elif not _can_be_booked(chip, shape):
    legal = [s for s in SHAPES[chip] if len(s) == len(shape)] or SHAPES[chip]
    near = min(legal, key=lambda s: abs(math.log(math.prod(s) / max(math.prod(shape), 1))))
    raise UserError(
      f'--topology={text}: there is no such slice. The nearest is {chip}:{_written(near)}; there are '
      f'{", ".join(map(_written, SHAPES[chip]))}{", and larger ones of sides that are multiples of 4" if chip in MOST_CHIPS else ""}.'
    )
  return Topology(chip, shape, slices)


def topology_devices(topology: Topology) -> list[jax.Device]:
  """The devices, one per chip, slice after slice; programs can be compiled for them, but not run.

  Raises UserError: libtpu is not installed, or refuses.
  """
  return _cpu_devices(topology) if topology.chip == 'cpu' else _tpu_devices(topology)


def require_compiler(topology: Topology) -> None:
  """Raises UserError where the compiler for this topology is not installed."""
  if topology.chip != 'cpu' and importlib.util.find_spec('libtpu') is None:
    raise UserError(
      f"compiling for {topology} needs the TPU compiler, libtpu, which is not installed: pip install 'codemix[tpu]'. "
      'No TPU is needed. --topology=cpu:8 compiles for virtual CPU devices instead.'
    )


def _tpu_devices(topology: Topology) -> list[jax.Device]:
  require_compiler(topology)
  skip_tpu_discovery()
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')  # beside another process that compiles
  from jax.experimental import topologies

  settings: dict = {'num_slices': topology.slices} if topology.slices > 1 else {}
  if topology.chip == 'v4':
    settings['chip_config_name'] = 'megacore'  # its two cores as one device
  if math.prod(topology.shape) == 1:
    settings['chips_per_host_bounds'] = (1, 1, 1)
  name = f'{topology.chip}:{_written(topology.shape)}'
  try:
    return list(topologies.get_topology_desc(name, 'tpu', **settings).devices)
  except Exception as error:  # of a type that differs from one JAX to the next
    reason = str(error).splitlines()[0]
    raise UserError(f'libtpu does not make {topology}: {reason}') from None


def _cpu_devices(topology: Topology) -> list[jax.Device]:
  if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
    with contextlib.suppress(RuntimeError):  # JAX has started, and their number is fixed
      jax.config.update('jax_num_cpu_devices', topology.chips)
  devices = jax.devices('cpu')
  if len(devices) < topology.chips:
    raise UserError(
      f'--topology={topology} needs {topology.chips} virtual devices, and JAX was started with {len(devices)}: '
      f'set XLA_FLAGS=--xla_force_host_platform_device_count={topology.chips}.'
    )
  return devices[: topology.chips]


def _check_cpus(text: str, shape: tuple[int, ...], slices: int) -> None:
  if len(shape) != 1 or not 1 <= shape[0] * slices <= MOST_CPUS:
    raise UserError(f'--topology={text}: virtual devices are written cpu:8, from 1 to {MOST_CPUS} of them.')


def _can_be_booked(chip: str, shape: tuple[int, ...]) -> bool:
  if shape in SHAPES[chip]:
    return True
  whole_cubes = len(shape) == 3 and all(side and side % 4 == 0 for side in shape) and list(shape) == sorted(shape)
  return chip in MOST_CHIPS and whole_cubes and math.prod(shape) <= MOST_CHIPS[chip]


def _written(shape: tuple[int, ...]) -> str:
  return 'x'.join(map(str, shape))
