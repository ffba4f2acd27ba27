"""A run as a managed job of SkyPilot, which finds machines on many clouds and recovers them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codemix.errors import CodemixError, UserError
from codemix.launch.accelerators import GPUS, TPUS, Tpus
from codemix.launch.client import said
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.specification import Specification, peers

_PEERS = peers('"$(head -n1 <<< "$SKYPILOT_NODE_IPS")"', '"$SKYPILOT_NUM_NODES"', '"$SKYPILOT_NODE_RANK"')


_SETUP = Path(__file__).parent / 'setup.sh'
_FOLDER = '~/codemix'  # on the machines


def sent(constraints: str) -> dict[str, str]:
  """The text of the files that are sent, beside a wheel, to machines without an image."""
  return {'setup.sh': _SETUP.read_text(), 'constraints.txt': constraints}


def task(of: Specification, image: str | None = None, installed: Sequence[str] = (), sent: Path | None = None) -> dict[str, Any]:
  """The task, as its YAML file has it.

  Raises UserError for several TPU slices, which SkyPilot does not join.

  Args:
    image: a container image with codemix; None to make an environment on the machines.
    installed: without an image, the arguments of setup.sh: the version of Python, and what pip installs.
    sent: without an image, a folder here with setup.sh, constraints.txt and perhaps a wheel. SkyPilot keeps it for the machines
      that replace lost ones.
  """
  machines = of.accelerators
  if isinstance(machines, Tpus):
    if machines.slices > 1:
      raise UserError('SkyPilot does not join TPU slices: use --slices=1, or `codemix launch tpu_vm`, `xpk` or `jobset`.')
    resources = {'accelerators': f'tpu-{machines.accelerator_type}', 'accelerator_args': {'runtime_version': TPUS[machines.chip].runtime, 'tpu_vm': True}}
    nodes, processes = 1, ''  # JAX asks the metadata of the TPU VMs
  else:
    resources = {'accelerators': f'{GPUS[machines.kind].sky}:{machines.per_node}'}
    nodes, processes = machines.nodes, _PEERS if machines.nodes > 1 else ''
  made: dict[str, Any] = {
    'name': of.name,
    'resources': {
      **resources,
      'use_spot': of.spot,
      # Lost machines are replaced in any case. After a code that is not listed the job ends.
      'job_recovery': {'max_restarts_on_errors': 0, 'recover_on_exit_codes': list(RESTARTED)},
      **({'image_id': f'docker:{image}'} if image else {}),
    },
    'num_nodes': nodes,
    'run': of.script(processes),
  }
  if image is None:
    made['file_mounts'] = {_FOLDER: str(sent)}
    made['setup'] = f'bash {_FOLDER}/setup.sh {shlex.join(installed)}\n'
    made['run'] = f'export PATH="$HOME/codemix/env/bin:$PATH"\n{made["run"]}'
  if of.secrets:
    made['secrets'] = dict.fromkeys(of.secrets)
  return made


def command(of: Specification, file: Path, options: Sequence[str] = ()) -> list[str]:
  """The words that start the job of a task's file."""
  return ['sky', 'jobs', 'launch', '--yes', '--detach-run', f'--name={of.name}', *(f'--secret={name}' for name in of.secrets), *options, str(file)]


def require_free(name: str, show: Callable[[str], None]) -> None:
  """Raises UserError if a managed job of this name has not ended, beside which another one would rent machines, or there is no sky here.

  Args:
    show: called with a warning if SkyPilot does not say, as before the first job, when it has no controller.
  """
  try:
    jobs = _jobs(said(['sky', 'jobs', 'queue', '--skip-finished', '--output=json']))
  except UserError:
    raise
  except (CodemixError, ValueError) as error:
    show(f'warning: SkyPilot does not say whether a job {name} is there already ({error})')
    return
  if any(job.get('job_name') == name for job in jobs):
    raise UserError(f'a managed job {name} has not ended, and goes on by itself after a preemption. To start it anew end it first, `sky jobs cancel --name={name}`, or give this run another --name.')


def _jobs(said: str) -> list[dict[str, Any]]:
  """The jobs in what `sky jobs queue` prints, where lines of progress may come first. Raises ValueError if there are none."""
  begun = re.search(r'^\[', said, re.MULTILINE)
  return json.JSONDecoder().raw_decode(said, begun.start() if begun else 0)[0]
