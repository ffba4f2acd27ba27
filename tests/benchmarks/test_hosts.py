import numpy as np
import pytest

from codemix.benchmarks import hosts
from codemix.benchmarks.data import SHARES, write_sources
from codemix.commands.bench import given_size
from codemix.errors import UserError
from codemix.storage import as_path

SIZE = hosts.Size(hosts=4, batch=16, length=256, steps=2, tokens=1_000_000)


@pytest.fixture(scope='module', params=['disk', 'bucket'])
def folder(request, tmp_path_factory):
  """A folder on each kind of storage, with the sources."""
  root = tmp_path_factory.mktemp('hosts') if request.param == 'disk' else as_path(f'{request.getfixturevalue("bucket")}/bench-hosts')
  write_sources(root, SIZE.tokens)
  return root


def test_a_host_of_many_reads_its_part_and_plans_as_the_first(folder):
  alone = hosts.simulate(folder, SIZE, 1, 0, None)
  parts = [hosts.simulate(folder, SIZE, 4, index, alone.documents) for index in range(4)]
  assert list(alone.documents) == list(SHARES)
  for host in parts:
    assert host.documents == alone.documents
    assert 0 < host.start.requests <= 1.01 * alone.start.requests
    assert 0 < host.step.requests <= alone.step.requests
  if isinstance(folder, type(as_path('/'))):  # a disk: exactly the rows are read
    token_bytes = SIZE.batch * SIZE.length * 2
    assert token_bytes <= alone.step.bytes < 1.05 * token_bytes
    assert np.isclose(sum(host.step.bytes for host in parts), alone.step.bytes, rtol=0.05)
  else:
    assert alone.needed and max(host.start.bytes for host in parts) <= alone.start.bytes


def test_growth_is_shown_beside_its_goal(tmp_path):
  figures = {figure.name: figure for figure in hosts.measure(tmp_path, hosts.Size(hosts=2, batch=16, length=256, steps=2, tokens=1_000_000))}
  found = figures['requests of a step, the most of several hosts to one host']
  assert 0 < found.value < 1 and found.reached


@pytest.mark.parametrize(('setting', 'message'), [('hosts=3', 'hosts=3: write a power of 2'), ('batch=100', 'divides batch = 100'), ('tokens=5', 'tokens=5: write 1_000_000')])
def test_a_size_that_cannot_be_is_refused(setting, message):
  with pytest.raises(UserError, match=message):
    given_size(hosts.Size, [setting])
