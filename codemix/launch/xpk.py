"""A run as a workload of XPK, on a GKE cluster that XPK made."""

from __future__ import annotations

import base64
import re
import shlex
import time
from collections.abc import Callable, Sequence

from codemix.errors import CodemixError, UserError
from codemix.launch.accelerators import Tpus
from codemix.launch.client import said
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


_OF_ALL_VERBS = ('--project', '--zone', '--namespace', '--sandbox-kubeconfig')  # options that name the cluster
_FINISHED = 'Finished'
_COLUMNS = re.compile(r' {3,}')  # of the table that XPK prints
POLL_S = 5.0
GOING_S = 900.0  # in which the pods of a workload that is deleted end


def list_words(name: str, cluster: str, options: Sequence[str]) -> list[str]:
  """Lists the workloads whose names have `name` in them."""
  return ['xpk', 'workload', 'list', f'--filter-by-job={name}', *_place(cluster, options)]


def delete_words(name: str, cluster: str, options: Sequence[str]) -> list[str]:
  return ['xpk', 'workload', 'delete', f'--workload={name}', *_place(cluster, options)]


def _place(cluster: str, options: Sequence[str]) -> list[str]:
  return [f'--cluster={cluster}', *(option for option in options if option.partition('=')[0] in _OF_ALL_VERBS)]


def make_way(name: str, cluster: str, options: Sequence[str], show: Callable[[str], None]) -> None:
  """Deletes a workload of this name that has finished: XPK asks whether it may overwrite one, or refuses.

  Raises UserError if there is no xpk here, or one is in the queue or at work, since XPK does not tell what it runs; CodemixError with XPK's
  words if it refuses, or the old workload stays.

  Args:
    options: those of `command`.
    show: called with a line that says what became of an earlier start.
  """
  listed, delete = list_words(name, cluster, options), delete_words(name, cluster, options)
  if not (status := status_of(name, listed)):
    return
  if status != _FINISHED:
    raise UserError(
      f'the cluster has a workload {name}, whose status is {status}, and XPK does not tell what it runs. If it is this run, there is nothing to do. '
      f'Otherwise give another --name, or stop it first: `{shlex.join(delete)}`.'
    )
  show(f'workload {name} has finished: it is deleted, and starts again')
  said(delete)
  deadline = time.monotonic() + GOING_S
  while status_of(name, listed):
    if time.monotonic() > deadline:
      raise CodemixError(f'workload {name} is still there {GOING_S / 60:.0f} minutes after it was deleted; see `{shlex.join(listed)}`.')
    time.sleep(POLL_S)


def status_of(name: str, listed: Sequence[str]) -> str:
  """The status of a workload in the table that the words of `list_words` print; '' if it is not there."""
  rows = [_COLUMNS.split(line.strip()) for line in said(listed).splitlines()]
  header = next((row for row in rows if row[0] == 'Jobset Name'), None)
  if header is None or 'Status' not in header:
    raise CodemixError('`xpk workload list` prints no table that codemix can read; it is written for XPK 1.16.0.')
  # Of several, one that has not finished.
  found = [row[header.index('Status')] for row in rows if row[0] == name and len(row) > header.index('Status')]
  return next((status for status in found if status != _FINISHED), _FINISHED if found else '')
