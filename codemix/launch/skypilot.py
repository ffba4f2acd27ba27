"""A run as a managed job of SkyPilot, which finds machines on many clouds and recovers them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.launch.accelerators import TPUS, Tpus
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.specification import Specification, peers

_PEERS = peers('"$(head -n1 <<< "$SKYPILOT_NODE_IPS")"', '"$SKYPILOT_NUM_NODES"', '"$SKYPILOT_NODE_RANK"')


def task(of: Specification, image: str | None, package: str) -> dict[str, Any]:
  """The task, as its YAML file has it.

  Raises UserError for several TPU slices, which SkyPilot does not join.

  Args:
    image: a container image with codemix; None to install `package` on the machines.
    package: a requirement of pip.
  """
  machines = of.accelerators
  if isinstance(machines, Tpus):
    if machines.slices > 1:
      raise UserError('SkyPilot does not join TPU slices: use --slices=1, or `codemix launch tpu_vm`, `xpk` or `jobset`.')
    resources = {'accelerators': f'tpu-{machines.accelerator_type}', 'accelerator_args': {'runtime_version': TPUS[machines.chip].runtime, 'tpu_vm': True}}
    nodes, processes = 1, ''  # JAX asks the metadata of the TPU VMs
  else:
    resources = {'accelerators': f'{machines.kind.upper()}:{machines.per_node}'}
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
    'setup': _setup(package) if image is None else '',
    'run': of.script(processes) if image else f'export PATH="$HOME/codemix-env/bin:$PATH"\n{of.script(processes)}',
  }
  if of.secrets:
    made['secrets'] = dict.fromkeys(of.secrets)
  return {key: value for key, value in made.items() if value != ''}


def _setup(package: str) -> str:
  return f'set -e\ncommand -v uv > /dev/null || pip install --quiet uv\nuv venv --quiet --python ">=3.11,<3.14" "$HOME/codemix-env"\nuv pip install --quiet --python "$HOME/codemix-env" {shlex.quote(package)}\n'


def command(of: Specification, file: Path, options: Sequence[str] = ()) -> list[str]:
  """The words that start the job of a task's file."""
  return ['sky', 'jobs', 'launch', '--yes', '--detach-run', f'--name={of.name}', *(f'--secret={name}' for name in of.secrets), *options, str(file)]
