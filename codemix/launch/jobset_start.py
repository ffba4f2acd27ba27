"""Starts a JobSet with `kubectl`, after a look at what the cluster has under its name.

`kubectl apply` alone would do nothing if an equal JobSet has ended, and be refused if another one is at work: the template of a
JobSet cannot be changed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from codemix.errors import UserError
from codemix.launch.client import said
from codemix.launch.jobset import RUN, SPECIFICATION, Cluster, job_set, manifest
from codemix.launch.specification import Specification

_ENDED = ('Completed', 'Failed')  # conditions of a JobSet
_GOING = '15m'  # in which pods that are deleted end; they have SAVING_S for that, and their nodes may not answer


def start(of: Specification, image: str, cluster: Cluster, show: Callable[[str], None]) -> bool:
  """Starts a run, unless it is at work. One that has ended is deleted first, and resumes.

  Raises UserError if there is no kubectl here, or another run has this name; CodemixError with kubectl's words if the cluster refuses.

  Args:
    show: called with a line that says what became of an earlier start.

  Returns:
    False if the same run is at work already.
  """
  text = manifest(of, image, cluster)
  if found := _found(of.name, cluster):
    metadata = found['metadata']
    if metadata.get('labels', {}).get(RUN) != of.name:
      raise UserError(f'the cluster has a JobSet {of.name} that `codemix launch` did not start: give this run another --name, or delete that with `{_shell(cluster, "delete", "jobset", of.name)}`.')
    ending = _ending(found)
    if not ending and metadata.get('annotations', {}).get(SPECIFICATION) == job_set(of, image, cluster)['metadata']['annotations'][SPECIFICATION]:
      return False
    if not ending:
      raise UserError(
        f'JobSet {of.name} is at work with other gin files, flags, versions or another image. To go on from its last checkpoint with these, '
        f'stop it first: `{_shell(cluster, *_delete(of.name))}`. For a run beside it give another --name and another Runtime.output.'
      )
    show(f'JobSet {of.name} {ending}: it is deleted, and starts again')
    _kubectl(cluster, *_delete(of.name), '--cascade=foreground', f'--timeout={_GOING}')
  _kubectl(cluster, 'apply', '--filename=-', given=text)
  return True


def logs(name: str, cluster: Cluster) -> str:
  """The command that shows the logs of the first pod of each slice."""
  selector = f'--selector=jobset.sigs.k8s.io/jobset-name={name},batch.kubernetes.io/job-completion-index=0'
  return _shell(cluster, 'logs', '--follow', selector)


def _found(name: str, cluster: Cluster) -> Mapping[str, Any] | None:
  said = _kubectl(cluster, 'get', 'jobsets', name, '--ignore-not-found', '--output=json')
  return json.loads(said) if said.strip() else None


def _ending(found: Mapping[str, Any]) -> str:
  """How a JobSet ended, in words; '' if it has not."""
  if found['metadata'].get('deletionTimestamp'):
    return 'is being deleted'
  for condition in found.get('status', {}).get('conditions', ()):
    if condition['type'] in _ENDED and condition['status'] == 'True':
      why = ': '.join(condition[field] for field in ('reason', 'message') if condition.get(field))
      return f'has {"failed" if condition["type"] == "Failed" else "completed"}{f" ({why})" if why else ""}'
  return ''


def _delete(name: str) -> tuple[str, ...]:
  return 'delete', 'jobsets,configmaps', f'--selector={RUN}={name}'


def _shell(cluster: Cluster, *words: str) -> str:
  return shlex.join(['kubectl', *_flags(cluster), *words])


def _flags(cluster: Cluster) -> list[str]:
  return [f'--namespace={cluster.namespace}'] if cluster.namespace else []


def _kubectl(cluster: Cluster, *words: str, given: str = '') -> str:
  return said(['kubectl', *_flags(cluster), *words], given)
