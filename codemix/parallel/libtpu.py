"""What libtpu is told where there is no TPU: it is asked nothing, and says nothing.

Where the `tpu` extra is installed, JAX loads libtpu on any machine, and libtpu prints warnings about
what it does not find on one that is no TPU host.
"""

from __future__ import annotations

import os
from pathlib import Path

# Nothing of it bears on a compilation for another machine.
_NO_TPU = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_WORKER_ID': '0',
  'TPU_LOG_DIR': 'disabled',
}
_PCI = Path('/sys/bus/pci/devices')
_GOOGLE = '0x1ae0'  # a vendor's number; its network cards have it too


def may_have_tpus() -> bool:
  """Whether a device of this machine could be a TPU."""
  return any(path.read_text().strip() == _GOOGLE for path in _PCI.glob('*/vendor'))


def tell_of_no_tpu() -> None:
  """Sets libtpu's environment variables, as far as they are not set; before JAX starts."""
  for name, value in _NO_TPU.items():
    os.environ.setdefault(name, value)
