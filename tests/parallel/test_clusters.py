"""On TPU VMs, on GKE and in a JobSet each process learns who the others are, on stand-ins for what those set."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from jax._src.clusters import cloud_tpu_cluster

from codemix.errors import CodemixError
from codemix.parallel import processes

TPU_VARIABLES = ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES', 'TPU_WORKER_ID', 'TPU_SKIP_MDS_QUERY', 'MEGASCALE_COORDINATOR_ADDRESS', 'MEGASCALE_NUM_SLICES', 'MEGASCALE_SLICE_ID', 'JAX_COORDINATOR_PORT', 'SLURM_JOB_ID')


@pytest.fixture(autouse=True)
def machine_with_tpus(monkeypatch):
  for name in TPU_VARIABLES:
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(cloud_tpu_cluster, 'running_in_cloud_tpu_vm', True)


@pytest.fixture
def metadata(monkeypatch) -> Iterator[dict[str, str]]:
  """Attributes that a metadata server on this machine answers with; others are not found."""
  attributes: dict[str, str] = {}

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      name = self.path.rpartition('/')[2]
      self.send_response(200 if name in attributes else 404)
      self.end_headers()
      self.wfile.write(attributes.get(name, '').encode())

    def log_message(self, *words):
      pass

  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  monkeypatch.setenv('GCE_METADATA_IP', f'127.0.0.1:{server.server_port}')
  monkeypatch.setattr('time.sleep', lambda seconds: None)  # JAX asks six times
  yield attributes
  server.shutdown()
  server.server_close()


def joined(monkeypatch) -> tuple[str, int, int, int]:
  """Host, port, number of processes and number of this one, as a run would use them."""
  monkeypatch.setattr('socket.gethostbyname', lambda host: host)
  return processes._resolve(None, None, None, 5)


def test_on_a_tpu_vm_the_metadata_name_the_others(metadata, monkeypatch):
  metadata |= {'agent-worker-number': '2', 'worker-network-endpoints': 'a:0:10.0.0.1,b:1:10.0.0.2,c:2:10.0.0.3,d:3:10.0.0.4', 'tpu-env': "ACCELERATOR_TYPE: 'v5litepod-16'\n"}
  assert processes.started_by_cluster()
  assert joined(monkeypatch) == ('10.0.0.1', 8482, 4, 2)


def test_on_slices_of_tpu_vms_processes_are_numbered_slice_after_slice(metadata, monkeypatch):
  metadata |= {
    'agent-worker-number': '1',
    'worker-network-endpoints': '10.1.0.1,10.1.0.2',
    'tpu-env': "MEGASCALE_NUM_SLICES: '3'\nMEGASCALE_SLICE_ID: '2'\nMEGASCALE_COORDINATOR_ADDRESS: '10.0.0.1:8080'\n",
  }
  assert processes.started_by_cluster()
  assert joined(monkeypatch) == ('10.0.0.1', 8482, 6, 5)


def test_a_tpu_vm_of_one_host_trains_alone(metadata):
  metadata |= {'agent-worker-number': '0', 'worker-network-endpoints': 'a:0:10.0.0.1', 'tpu-env': ''}
  assert not processes.started_by_cluster()


def test_a_metadata_server_that_does_not_answer_is_an_error_and_not_a_run_alone(monkeypatch):
  monkeypatch.setenv('GCE_METADATA_IP', '127.0.0.1:9')  # nothing listens
  with pytest.raises(CodemixError, match='the cluster does not say which processes there are: .*Give --coordinator_address'):
    processes.started_by_cluster()


def test_metadata_that_jax_cannot_read_are_an_error(metadata):
  metadata |= {'agent-worker-number': '0', 'worker-network-endpoints': 'a:b', 'tpu-env': ''}
  with pytest.raises(CodemixError, match='unsupported worker-network-endpoints'):
    processes.started_by_cluster()


def test_without_tpu_chips_no_server_is_asked(monkeypatch):
  monkeypatch.setattr(cloud_tpu_cluster, 'running_in_cloud_tpu_vm', False)
  monkeypatch.setenv('GCE_METADATA_IP', '127.0.0.1:9')
  assert not processes.started_by_cluster()


@pytest.mark.parametrize(
  ('slices', 'expected'),
  [
    ({}, ('run-slice-0-0.run', 8482, 2, 1)),
    ({'MEGASCALE_NUM_SLICES': '2', 'MEGASCALE_SLICE_ID': '1', 'MEGASCALE_COORDINATOR_ADDRESS': 'run-slice-0-0.run'}, ('run-slice-0-0.run', 8482, 4, 3)),
  ],
  ids=['one slice', 'two slices'],
)
def test_on_gke_the_variables_of_the_pods_name_the_others(slices, expected, metadata, monkeypatch):
  variables = {'TPU_WORKER_HOSTNAMES': 'run-slice-0-0.run,run-slice-0-1.run', 'TPU_WORKER_ID': '1', **slices}
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  metadata['tpu-env'] = ''  # pods see the metadata of their node
  assert processes.started_by_cluster()
  assert joined(monkeypatch) == expected
