"""A run as a JobSet of a Kubernetes cluster: a Job for each slice, a pod for each host.

The exit code decides what comes next, by two lists of rules. A Job fails when one of its pods does (`backoffLimit` 0), with
the reason `PodFailurePolicy` after a code that a new start does not help against. The JobSet ends for that reason, and
otherwise starts all Jobs again, since the processes of a run only start together.
"""

from __future__ import annotations

import subprocess
from typing import Any

from codemix.errors import CodemixError, UserError
from codemix.launch.accelerators import GPUS, TPUS, Gpus, Tpus
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.specification import Specification, peers
from codemix.launch.yaml_text import as_yaml

SAVING_S = 120  # in which a pod that is asked to stop saves a checkpoint
SECRET = 'codemix'  # the cluster's Secret with the values of --secret
_CONTAINER = 'codemix'
_JOB = 'slice'


def manifest(of: Specification, image: str) -> str:
  """The YAML of a ConfigMap with the script, and of the JobSet.

  Args:
    image: a container image with codemix.
  """
  nodes = of.accelerators.nodes if isinstance(of.accelerators, Gpus) else 1
  # The DNS name that JobSet gives to the first pod of the first Job.
  processes = peers(f'{of.name}-{_JOB}-0-0.{of.name}', str(nodes), '"$JOB_COMPLETION_INDEX"') if nodes > 1 else ''
  script = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': of.name}, 'data': {'run.sh': of.script(processes)}}
  return as_yaml(script, job_set(of, image))


def job_set(of: Specification, image: str) -> dict[str, Any]:
  """The JobSet, as its manifest has it."""
  tpus = of.accelerators if isinstance(of.accelerators, Tpus) else None
  hosts = tpus.hosts if tpus else of.accelerators.nodes
  # Each slice is a node pool, which takes the pods of one Job only.
  annotations = {'annotations': {'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool'}} if tpus else {}
  return {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': {'name': of.name, **annotations},
    'spec': {
      'failurePolicy': {
        'maxRestarts': of.restarts,
        'rules': [{'name': 'final', 'action': 'FailJobSet', 'onJobFailureReasons': ['PodFailurePolicy']}],
      },
      'replicatedJobs': [
        {
          'name': _JOB,
          'replicas': tpus.slices if tpus else 1,
          'template': {
            'spec': {
              'completionMode': 'Indexed',
              'completions': hosts,
              'parallelism': hosts,
              'backoffLimit': 0,
              'podFailurePolicy': {
                'rules': [
                  # A pod whose node was taken away is replaced. The others then exit with 76, and all start again.
                  {'action': 'Ignore', 'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}]},
                  {'action': 'FailJob', 'onExitCodes': {'containerName': _CONTAINER, 'operator': 'NotIn', 'values': sorted(RESTARTED)}},
                ]
              },
              'template': {'spec': _pod(of, image)},
            }
          },
        }
      ],
    },
  }


def _pod(of: Specification, image: str) -> dict[str, Any]:
  resource, amount, selector = _machines(of.accelerators)
  if of.spot:
    selector['cloud.google.com/gke-spot'] = 'true'
  secrets = [{'name': name, 'valueFrom': {'secretKeyRef': {'name': SECRET, 'key': name}}} for name in of.secrets]
  return {
    'restartPolicy': 'Never',
    'terminationGracePeriodSeconds': SAVING_S,
    'nodeSelector': selector,
    # GKE keeps other pods off such nodes.
    'tolerations': [{'key': key, 'operator': 'Exists', 'effect': 'NoSchedule'} for key in (resource, *(['cloud.google.com/gke-spot'] if of.spot else []))],
    'containers': [
      {
        'name': _CONTAINER,
        'image': image,
        'command': ['bash', '/launch/run.sh'],
        **({'env': secrets} if secrets else {}),
        'resources': {'limits': {resource: amount}},
        'volumeMounts': [{'name': 'launch', 'mountPath': '/launch'}, {'name': 'shm', 'mountPath': '/dev/shm'}],
      }
    ],
    # Libraries of collectives need more shared memory than the 64 MiB of a container.
    'volumes': [{'name': 'launch', 'configMap': {'name': of.name}}, {'name': 'shm', 'emptyDir': {'medium': 'Memory'}}],
  }


def _machines(of: Tpus | Gpus) -> tuple[str, int, dict[str, str]]:
  """The resource that a pod asks for, how much of it, and the labels of its node."""
  if isinstance(of, Gpus):
    return 'nvidia.com/gpu', of.per_node, {'cloud.google.com/gke-accelerator': GPUS[of.kind]}
  return 'google.com/tpu', of.chips_per_host, {'cloud.google.com/gke-tpu-accelerator': TPUS[of.chip].gke, 'cloud.google.com/gke-tpu-topology': of.topology}


def apply(text: str) -> None:
  """Gives a manifest to the cluster that `kubectl` is set to.

  Raises UserError if there is no kubectl here, and CodemixError with its words if the cluster refuses.
  """
  try:
    ran = subprocess.run(['kubectl', 'apply', '--filename=-'], input=text, capture_output=True, text=True, check=False)
  except FileNotFoundError:
    raise UserError('there is no kubectl on this machine: print the manifest with --dry_run, and apply it elsewhere.') from None
  if ran.returncode:
    raise CodemixError(f'kubectl refuses the manifest: {ran.stderr.strip()}')
