"""Set-up that every test shares: eight virtual CPU devices, and the real corpora where they lie."""

import gc
import os
import pathlib
import sys

# Before JAX starts: the sharding tests need eight devices, on any machine; and tiny programs take
# longer to optimise than to run.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = ' '.join(
  [
    '--xla_backend_optimization_level=0',
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
  ]
)
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import pytest

MAPPINGS = 15_000  # Linux allows 65,530 as it comes; a module makes some thousands

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'data'


@pytest.fixture(scope='session')
def shared_data() -> pathlib.Path:
  """The folder of real evaluation sets and corpora beside the project."""
  if not SHARED_DATA.is_dir():
    pytest.skip(f'no folder of real corpora beside the project ({SHARED_DATA.name} is absent)')
  return SHARED_DATA


@pytest.fixture(scope='session')
def bucket(tmp_path_factory):
  """The URL of a bucket of a GCS server on this machine, which all processes of the tests use."""
  from tests import gcs

  with gcs.server(tmp_path_factory.mktemp('gcs') / 'log') as proxy, gcs.used(proxy.port):
    yield f'gs://{gcs.BUCKET}'


@pytest.fixture(scope='session')
def sandbox() -> None:
  """Skips where programs cannot be isolated."""
  from codemix.data.filters.passes_tests import sandbox_works

  if not sandbox_works():
    pytest.skip('bubblewrap is not installed, or cannot make its namespaces here')


@pytest.fixture(autouse=True, scope='module')
def few_mapped_programs():
  """Lets compiled programs go between modules before they use up the mappings of the process, at which XLA aborts."""
  yield
  if 'jax' in sys.modules and len(pathlib.Path('/proc/self/maps').read_bytes().splitlines()) > MAPPINGS:
    sys.modules['jax'].clear_caches()
    gc.collect()


@pytest.fixture
def one_device(monkeypatch) -> None:
  """Lets studies in the test's process run on one of its devices."""
  from tests.in_process import use_one_device

  use_one_device(monkeypatch)
