"""How each launcher names the machines of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from codemix.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
class _Chip:
  """A kind of TPU.

  Attributes:
    cloud: its name in Cloud TPU's accelerator types, before the size.
    per_chip: what the size of an accelerator type counts, of each chip: 2 are TensorCores.
    gke: the label `cloud.google.com/gke-tpu-accelerator` of its nodes.
    runtime: the image of its TPU VMs.
  """

  cloud: str
  per_chip: int
  gke: str
  runtime: str


# cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e (accelerator types), /tpu/docs/runtimes (images), and
# cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus (labels); read in 2026.
TPUS = {
  'v4': _Chip('v4', 2, 'tpu-v4-podslice', 'tpu-ubuntu2204-base'),
  'v5e': _Chip('v5litepod', 1, 'tpu-v5-lite-podslice', 'v2-alpha-tpuv5-lite'),
  'v5p': _Chip('v5p', 2, 'tpu-v5p-slice', 'v2-alpha-tpuv5'),
  'v6e': _Chip('v6e', 1, 'tpu-v6e-slice', 'v2-alpha-tpuv6e'),
}


@dataclasses.dataclass(frozen=True)
class _Gpu:
  """A kind of GPU.

  Attributes:
    gke: the label `cloud.google.com/gke-accelerator` of its nodes.
    sky: its name in SkyPilot.
  """

  gke: str
  sky: str


# cloud.google.com/kubernetes-engine/docs/concepts/gpus, and `sky show-gpus` of SkyPilot 0.14.1; read in 2026. 'A100' of SkyPilot has 40 GB.
GPUS = {
  'a100': _Gpu('nvidia-a100-80gb', 'A100-80GB'),
  'h100': _Gpu('nvidia-h100-80gb', 'H100'),
  'h200': _Gpu('nvidia-h200-141gb', 'H200'),
  'b200': _Gpu('nvidia-b200', 'B200'),
}
CHIPS_PER_HOST = 4  # of the GKE machine types that slices of several hosts are made of


@dataclasses.dataclass(frozen=True)
class Tpus:
  """Slices of TPU chips.

  Attributes:
    chip: 'v4', 'v5e', 'v5p' or 'v6e'.
    shape: chips along each side of a slice.
    slices: how many.
  """

  chip: str
  shape: Sequence[int]
  slices: int = 1

  @property
  def chips(self) -> int:
    """The chips of one slice."""
    return math.prod(self.shape)

  @property
  def chips_per_host(self) -> int:
    return min(self.chips, CHIPS_PER_HOST)

  @property
  def hosts(self) -> int:
    """The hosts of one slice, on GKE."""
    return self.chips // self.chips_per_host

  @property
  def accelerator_type(self) -> str:
    """Cloud TPU's and XPK's name of one slice: 'v5litepod-256'."""
    kind = TPUS[self.chip]
    return f'{kind.cloud}-{kind.per_chip * self.chips}'

  @property
  def topology(self) -> str:
    """GKE's: '16x16'."""
    return 'x'.join(map(str, self.shape))

  @property
  def flag_set(self) -> str:
    """The default set of compiler flags."""
    return f'{self.chip}_slices' if self.slices > 1 else self.chip

  def __str__(self) -> str:
    return f'{self.slices} x {self.chip}:{self.topology}'


@dataclasses.dataclass(frozen=True)
class Gpus:
  """Nodes of GPUs, with one process a node.

  Attributes:
    kind: such as 'h100'.
    per_node: GPUs of each node.
    nodes: how many.
  """

  kind: str
  per_node: int
  nodes: int = 1

  def __post_init__(self):
    if self.kind not in GPUS:
      raise UserError(f"--gpu is '{self.kind}'; it is one of {', '.join(GPUS)}.{nearest(self.kind, GPUS)}")

  @property
  def flag_set(self) -> str:
    """The default set of compiler flags."""
    return self.kind

  def __str__(self) -> str:
    return f'{self.nodes} x {self.per_node} {self.kind}'
