"""What libraries log and warn of: known noise is silenced by name, everything else is shown.

`--verbose` silences nothing; the processes that this one starts inherit it.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from types import TracebackType

from codemix.parallel.libtpu import may_have_tpus, skip_tpu_discovery
from codemix.terminal import VERBOSE

# For native code, which knows levels only. What the environment sets already stays.
_ENVIRONMENT = {
  'TF_CPP_MIN_LOG_LEVEL': '1',  # TensorFlow and XLA: no notes, such as a line for each device and CPU feature
  'GRPC_VERBOSITY': 'ERROR',  # a note at each connection of a run with several processes
  'TF_ENABLE_ONEDNN_OPTS': '0',  # TensorFlow only reads files here; otherwise it says that oneDNN may round differently
}

# They log each request that they repeat with a stack trace, and then raise the error, which codemix reports.
_REPORTED = ('gcsfs', 'google.auth')

# (category, start of the message as a regular expression), each with the reason.
_WARNINGS: tuple[tuple[type[Warning], str], ...] = ()


def show_all() -> None:
  """Shows the notes and warnings of all libraries, in this process and in those that it starts."""
  os.environ[VERBOSE] = '1'
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '0'
  logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')
  warnings.simplefilter('default')

  from absl import logging as absl_logging  # its own level would hide notes

  absl_logging.set_verbosity(absl_logging.INFO)


def silence_known() -> None:
  """Silences the noise listed in this module."""
  for name, value in _ENVIRONMENT.items():
    os.environ.setdefault(name, value)
  if not may_have_tpus():
    skip_tpu_discovery()
  for name in _REPORTED:
    logging.getLogger(name).setLevel(logging.CRITICAL)
  for category, message in _WARNINGS:
    warnings.filterwarnings('ignore', message, category)
  sys.excepthook = _without_late_writes


def _without_late_writes(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
  """After a write of a checkpoint has failed, and was reported, TensorStore's threads print each later one as this error."""
  if not (kind is RuntimeError and str(error) == 'Event loop is closed'):
    sys.__excepthook__(kind, error, traceback)
