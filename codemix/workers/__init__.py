"""Where steps run: in this process, in several on this machine, or on the runner of a Beam pipeline."""

from codemix.workers.beam import Beam
from codemix.workers.processes import Processes
from codemix.workers.step import InProcess, Progress, Workers
