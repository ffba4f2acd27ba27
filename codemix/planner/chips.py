"""Peak rates of each chip, as its maker publishes them: the roofs of the roofline."""

from __future__ import annotations

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """Published peaks of one chip.

  Attributes:
    flops: bfloat16 FLOP/s.
    memory_bytes: size of the HBM.
    memory_rate: bytes/s of the HBM.
    link_rate: bytes/s over one inter-chip link in one direction; a chip has two links along each
      axis of the torus.
    network_rate: bytes/s that a chip can send over the data-center network, which is its share of
      its host's interfaces; None if that is not published.
    source: where these figures are published.
  """

  flops: float
  memory_bytes: int
  memory_rate: float
  link_rate: float
  network_rate: float | None
  source: str


# The pages give the inter-chip bandwidth of a whole chip in both directions (v5e 400, v5p 1200,
# v6e 800 GB/s). It is divided here by two directions and by four (v5e, v6e) or six (v5p) links. The
# pages were read in 2026; their "16 GB" of HBM are 16 GiB.
CHIPS = {
  # Links: six of 50 GB/s in each direction (Jouppi et al., arXiv:2304.01433, table 4).
  'v4': Chip(275e12, 32 * GIB, 1200e9, 50e9, None, 'cloud.google.com/tpu/docs/v4; arXiv:2304.01433, table 4'),
  # Network: 6.4 Tbit/s for 256 chips.
  'v5e': Chip(197e12, 16 * GIB, 819e9, 50e9, 6.4e12 / 8 / 256, 'cloud.google.com/tpu/docs/v5e'),
  # Network: 50 Gbit/s per chip.
  'v5p': Chip(459e12, 95 * GIB, 2765e9, 100e9, 50e9 / 8, 'cloud.google.com/tpu/docs/v5p'),
  'v6e': Chip(918e12, 32 * GIB, 1638e9, 100e9, None, 'cloud.google.com/tpu/docs/v6e'),
}
