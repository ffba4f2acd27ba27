"""libtpu on machines without a TPU.

Where the `tpu` extra is installed, JAX loads libtpu on any machine. Without a TPU, libtpu queries a
metadata server and prints warnings, unless environment variables stop it.
"""

from __future__ import annotations

import os
from pathlib import Path

# None of these changes what is compiled for another machine.
WITHOUT_TPU = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_WORKER_ID': '0',
  'TPU_LOG_DIR': 'disabled',
}
PCI = Path('/sys/bus/pci/devices')
_GOOGLE = '0x1ae0'  # a vendor's number, of TPUs and of network cards


def may_have_tpus() -> bool:
  """Whether a device of this machine could be a TPU."""
  return any(path.read_text().strip() == _GOOGLE for path in PCI.glob('*/vendor'))


def skip_tpu_discovery() -> None:
  """Sets libtpu's environment variables for a machine without a TPU, unless they are set; before JAX starts."""
  for name, value in WITHOUT_TPU.items():
    os.environ.setdefault(name, value)
