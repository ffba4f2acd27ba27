"""A run as a JobSet of a Kubernetes cluster: a Job for each slice, a pod for each host.

How a pod ended decides what comes next, by two lists of rules. The Job's rules name three ways: its node was taken away, it
was asked to stop, or it ended with a code that a new start does not help against; a Job that fails by such a rule has the reason
`PodFailurePolicy`, and the rule's number in its message. Any other failure of a pod fails its Job too (`backoffLimit` 0). The
JobSet's rules read reason and message: it ends, or starts all Jobs again, since the processes of a run only start together.
`maxRestarts` bounds the new starts, of which those after a preemption do not count.

The rules that read a message need JobSet 0.10.1 or later: github.com/kubernetes-sigs/jobset, CHANGELOG/CHANGELOG-0.10.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from codemix.errors import Preempted, UserError, nearest
from codemix.identity import digest
from codemix.launch.accelerators import GPUS, TPUS, Gpus, Tpus
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.specification import Specification, peers
from codemix.launch.yaml_text import as_yaml

SAVING_S = 120  # in which a pod that is asked to stop saves a checkpoint
SECRET = 'codemix'  # the cluster's Secret with the values of --secret
RUN = 'codemix/run'  # the label of all that belongs to a run
SPECIFICATION = 'codemix/specification'  # the annotation with the digest of a JobSet, to which the cluster adds fields
_CONTAINER = 'codemix'
_JOB = 'slice'
# The Job's rules, by their numbers in `_JOB_RULES`: Kubernetes ends a Job's message with 'rule at index 2'.
_FINAL = 2
_PREEMPTED = (0, 1)
_JOB_RULES = (
  {'action': 'FailJob', 'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}]},  # its node was taken away
  {'action': 'FailJob', 'onExitCodes': {'containerName': _CONTAINER, 'operator': 'In', 'values': [Preempted.exit_code]}},
  {'action': 'FailJob', 'onExitCodes': {'containerName': _CONTAINER, 'operator': 'NotIn', 'values': sorted(RESTARTED)}},
)


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Where in a cluster a JobSet goes.

  Attributes:
    namespace: of Kubernetes; None for the one that `kubectl` is set to.
    queue: a LocalQueue of Kueue; None for none.
    service_account: of the pods; None for the namespace's own.
    node_labels: labels of the nodes. With GPUs they are asked for instead of GKE's own label, with TPUs beside those.
  """

  namespace: str | None = None
  queue: str | None = None
  service_account: str | None = None
  node_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


def cluster_of(options: Sequence[str]) -> Cluster:
  """The cluster that options such as 'queue=research' and 'node_label=KEY=VALUE' describe. Raises UserError for others."""
  found: dict[str, str] = {}
  labels: dict[str, str] = {}
  known = [field.name for field in dataclasses.fields(Cluster) if field.name != 'node_labels']
  for option in options:
    key, _, value = option.partition('=')
    label, _, of_label = value.partition('=')
    if key == 'node_label' and label and of_label:
      labels[label] = of_label
    elif key in known and value:
      found[key] = value
    else:
      names = [*known, 'node_label']
      raise UserError(f"--option is '{option}'; for jobset it is {', '.join(f'{name}=NAME' for name in known)} or node_label=KEY=VALUE.{nearest(key, names)}")
  return Cluster(**found, node_labels=labels)


def manifest(of: Specification, image: str, cluster: Cluster = Cluster()) -> str:
  """The YAML of a ConfigMap with the script, and of the JobSet.

  Args:
    image: a container image with codemix.
  """
  return as_yaml(config_map(of, cluster), job_set(of, image, cluster))


def config_map(of: Specification, cluster: Cluster = Cluster()) -> dict[str, Any]:
  """The ConfigMap with the script. Another script has another name, so that the pods of a run that is at work never see it."""
  script = _script(of)
  return {
    'apiVersion': 'v1',
    'kind': 'ConfigMap',
    'metadata': {'name': f'{of.name}-{digest(script)[:10]}', **_namespace(cluster), 'labels': {RUN: of.name}},
    'immutable': True,
    'data': {'run.sh': script},
  }


def _script(of: Specification) -> str:
  slices, hosts = _shape(of)
  # The DNS name that JobSet gives to the first pod of the first Job.
  processes = peers(f'{of.name}-{_JOB}-0-0.{of.name}', str(hosts), '"$JOB_COMPLETION_INDEX"') if isinstance(of.accelerators, Gpus) and hosts > 1 else ''
  return of.script(processes, _until_all_have_addresses(of.name, slices, hosts) if slices * hosts > 1 else ())


def _until_all_have_addresses(name: str, slices: int, hosts: int) -> tuple[str, ...]:
  """Lines of a script that wait for the other pods' nodes.

  A lost node may be replaced hours later. The rendezvous waits for minutes, and its end would count as a failure of the run.
  """
  return (
    f"trap 'exit {Preempted.exit_code}' TERM",
    f'for host in {name}-{_JOB}-{{0..{slices - 1}}}-{{0..{hosts - 1}}}.{name}; do',
    '  until getent hosts "$host" > /dev/null; do sleep 2; done',
    'done',
    'trap - TERM',
  )


def _shape(of: Specification) -> tuple[int, int]:
  """How many slices, and hosts of each."""
  machines = of.accelerators
  return (machines.slices, machines.hosts) if isinstance(machines, Tpus) else (1, machines.nodes)


def _namespace(cluster: Cluster) -> dict[str, str]:
  return {'namespace': cluster.namespace} if cluster.namespace else {}


def job_set(of: Specification, image: str, cluster: Cluster = Cluster()) -> dict[str, Any]:
  """The JobSet, as its manifest has it."""
  slices, hosts = _shape(of)
  made = {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': {
      'name': of.name,
      **_namespace(cluster),
      'labels': {RUN: of.name, **({'kueue.x-k8s.io/queue-name': cluster.queue} if cluster.queue else {})},
      # Each slice is a node pool, which takes the pods of one Job only.
      'annotations': {'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool'} if isinstance(of.accelerators, Tpus) else {},
    },
    'spec': {
      'failurePolicy': {
        'maxRestarts': of.restarts,
        'rules': [
          _rule('final', 'FailJobSet', [_FINAL]),
          _rule('preempted', 'RestartJobSetAndIgnoreMaxRestarts', _PREEMPTED),
        ],
      },
      'replicatedJobs': [
        {
          'name': _JOB,
          'replicas': slices,
          'template': {
            'spec': {
              'completionMode': 'Indexed',
              'completions': hosts,
              'parallelism': hosts,
              'backoffLimit': 0,
              'podFailurePolicy': {'rules': list(_JOB_RULES)},
              'template': {'spec': _pod(of, image, cluster)},
            }
          },
        }
      ],
    },
  }
  made['metadata']['annotations'][SPECIFICATION] = digest(made)
  return made


def _rule(name: str, action: str, numbers: Sequence[int]) -> dict[str, Any]:
  """The JobSet's rule for Jobs that failed by rules of those numbers."""
  patterns = [f'rule at index {number}$' for number in numbers]
  return {'name': name, 'action': action, 'onJobFailureReasons': ['PodFailurePolicy'], 'onJobFailureMessagePatterns': patterns}


def _pod(of: Specification, image: str, cluster: Cluster) -> dict[str, Any]:
  resource, amount, selector = _machines(of.accelerators, cluster.node_labels)
  if of.spot:
    if isinstance(of.accelerators, Gpus) and cluster.node_labels:
      raise UserError('--spot asks for GKE\'s label of spot nodes: leave it out, and name the label of yours with --option=node_label=KEY=VALUE.')
    selector['cloud.google.com/gke-spot'] = 'true'
  secrets = [{'name': name, 'valueFrom': {'secretKeyRef': {'name': SECRET, 'key': name}}} for name in of.secrets]
  return {
    'restartPolicy': 'Never',
    **({'serviceAccountName': cluster.service_account} if cluster.service_account else {}),
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
    'volumes': [{'name': 'launch', 'configMap': {'name': config_map(of)['metadata']['name']}}, {'name': 'shm', 'emptyDir': {'medium': 'Memory'}}],
  }


def _machines(of: Tpus | Gpus, labels: Mapping[str, str]) -> tuple[str, int, dict[str, str]]:
  """The resource that a pod asks for, how much of it, and the labels of its node."""
  if isinstance(of, Gpus):
    return 'nvidia.com/gpu', of.per_node, dict(labels) or {'cloud.google.com/gke-accelerator': GPUS[of.kind].gke}
  return 'google.com/tpu', of.chips_per_host, {'cloud.google.com/gke-tpu-accelerator': TPUS[of.chip].gke, 'cloud.google.com/gke-tpu-topology': of.topology, **labels}
