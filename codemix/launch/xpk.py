"""A run as a workload of XPK, on a GKE cluster that XPK made."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from codemix.errors import UserError
from codemix.launch.accelerators import Tpus
from codemix.launch.exit_codes import RESUMABLE
from codemix.launch.specification import Specification

SAVING_S = 120  # in which a pod that is asked to stop saves a checkpoint


def command(of: Specification, image: str, cluster: str, options: Sequence[str] = ()) -> list[str]:
  """The words of `xpk workload create`.

  Raises UserError if the run has secrets, which XPK would write into the manifest, or trains on GPUs.

  Args:
    image: a container image with codemix.
    cluster: the cluster's name.
    options: further options of XPK, such as '--project=lab'.
  """
  if not isinstance(of.accelerators, Tpus):
    raise UserError('`codemix launch xpk` is for TPUs; use `codemix launch jobset` for GPUs of a GKE cluster.')
  if of.secrets:
    raise UserError('XPK writes variables into the manifest, so --secret is not safe there: use `codemix launch jobset`, which names a Secret of the cluster.')
  # `exec`: XPK sends SIGTERM to the subshell in which the command runs. One line of letters and digits: XPK puts it into
  # YAML without quoting.
  script = base64.b64encode(of.script().encode()).decode()
  return [
    'xpk',
    'workload',
    'create',
    f'--workload={of.name}',
    f'--cluster={cluster}',
    f'--tpu-type={of.accelerators.accelerator_type}',
    f'--num-slices={of.accelerators.slices}',
    f'--docker-image={image}',
    f'--max-restarts={of.restarts}',
    f'--restart-on-exit-codes={",".join(map(str, RESUMABLE))}',
    f'--termination-grace-period-seconds={SAVING_S}',
    *(['--spot'] if of.spot else []),
    *options,
    f'--command=exec bash -c "$(echo {script} | base64 -d)"',
  ]
