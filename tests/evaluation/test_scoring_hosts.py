"""Several processes score pairs as one does, and each has all scores."""

from __future__ import annotations

import json
import socket

import jax
import numpy as np
import pytest

from codemix.parallel.mesh import MeshConfig
from tests.evaluation import scoring_host
from tests.faults import runs


@pytest.mark.parametrize(
  ('count', 'devices', 'mesh'),
  [(2, 1, {'data': 2}), pytest.param(2, 2, {'data': 1, 'fsdp': 2, 'sequence': 2}, marks=pytest.mark.slow)],
)
def test_several_processes_score_as_one_device_does(count, devices, mesh, tmp_path):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    coordinator = f'localhost:{probe.getsockname()[1]}'
  words = 'tests.evaluation.scoring_host', tmp_path, coordinator, str(count)
  started = [runs.start(*words, str(index), json.dumps(mesh), devices=devices) for index in range(count)]
  for ended in map(runs.finish, started):
    assert ended.returncode == 0, ended.stderr
  alone = scoring_host.scored(MeshConfig(data=1), jax.devices()[:1])
  for index in range(count):
    found = np.load(tmp_path / f'scores-{index}.npz')
    np.testing.assert_allclose(found['nats'], alone.nats, rtol=1e-5)
    np.testing.assert_array_equal(found['tokens'], alone.tokens)
    np.testing.assert_array_equal(found['greedy'], alone.greedy)
