"""A bucket that fails for a while costs time; one that does not answer at all ends the run with a code that says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from codemix import cli, storage
from codemix.data.store.document_table import table_blocks
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import StorageUnavailable, UserError
from codemix.storage import lease
from codemix.storage.lines import open_lines, read_lines
from codemix.storage.outages import outage
from codemix.storage.ranges import open_ranges
from codemix.studies.start_folder import _last_rate as last_rate
from tests import faulty_proxy, gcs
from tests.faults import runs


@pytest.fixture
def proxy(tmp_path):
  """A proxy before a server of its own."""
  with gcs.server(tmp_path / 'log') as proxy, gcs.used(proxy.port):
    yield proxy


@pytest.mark.parametrize('mode', [*faulty_proxy.STATUSES, faulty_proxy.RESET])
def test_a_server_that_fails_for_a_while_loses_nothing(proxy, mode):
  folder = storage.as_path(f'gs://{gcs.BUCKET}/x')
  storage.write_json(folder / 'a.json', {'step': 1})
  file = open_ranges(folder / 'a.json', (folder / 'a.json').stat().st_size, 0)
  lines = open_lines(folder / 'm.jsonl')
  lines.append(['1'])
  with proxy.failing(mode, 1.5):
    assert storage.read_json(folder / 'a.json') == {'step': 1}
  with proxy.failing(mode, 1.5):
    storage.write_json(folder / 'a.json', {'step': 2})
  with proxy.failing(mode, 1.5):
    lines.flush()
  with proxy.failing(mode, 1.5):
    assert b'"step": 1' in file.read(0, 100) or b'"step": 2' in file.read(0, 100)
  with proxy.failing(mode, 1.5), storage.locked(folder, 'training'):
    pass
  assert proxy.failed and storage.read_json(folder / 'a.json') == {'step': 2} and read_lines(folder / 'm.jsonl') == b'1\n'


def test_a_bucket_that_does_not_answer_is_named_with_what_to_do(proxy, monkeypatch):
  import gcsfs.retry

  monkeypatch.setattr(gcsfs.retry.asyncio, 'sleep', lambda seconds, sleep=gcsfs.retry.asyncio.sleep: sleep(min(seconds, 0.01)))
  path = storage.as_path(f'gs://{gcs.BUCKET}/x/a.json')
  proxy.fail(faulty_proxy.RESET)
  with pytest.raises(StorageUnavailable, match=f'{path} does not answer .*The same command resumes when it does'):
    storage.write_json(path, {})
  with pytest.raises(Exception) as caught:
    path.read_bytes()
  assert isinstance(outage(caught.value), StorageUnavailable)


@pytest.mark.parametrize(
  'read', [lambda root: load_tokenizer(root / 'tokenizer.json'), lambda root: list(table_blocks(root / 'documents.npy')), lambda root: last_rate(root)], ids=['tokenizer', 'table', 'rate']
)
def test_a_file_that_cannot_be_read_in_an_outage_is_not_called_damaged(proxy, monkeypatch, capsys, read):
  import gcsfs.retry

  monkeypatch.setattr(gcsfs.retry.asyncio, 'sleep', lambda seconds, sleep=gcsfs.retry.asyncio.sleep: sleep(min(seconds, 0.01)))
  root = storage.as_path(f'gs://{gcs.BUCKET}/x')
  for name in ('tokenizer.json', 'documents.npy', 'rate.csv'):
    storage.write_text(root / name, 'rate')
  with pytest.raises(UserError):
    read(root)
  proxy.fail(faulty_proxy.RESET)
  monkeypatch.setattr('codemix.commands.verify.run', lambda _: read(root))
  assert cli.main(['verify', 'folder']) == StorageUnavailable.exit_code
  assert 'does not answer' in capsys.readouterr().err.splitlines()[-1]


def test_a_process_that_ends_in_an_outage_does_not_wait_to_give_back_its_lease(proxy, monkeypatch):
  monkeypatch.setattr(lease, 'GIVE_BACK_S', 0.5)
  folder, left = storage.as_path(f'gs://{gcs.BUCKET}/x'), threading.Event()

  def work():
    with storage.locked(folder, 'training'):
      proxy.fail(faulty_proxy.HOLD)
    left.set()

  threading.Thread(target=work, daemon=True).start()
  try:
    assert left.wait(30)  # while nothing is answered; clients try again for minutes
  finally:
    proxy.heal()


@pytest.mark.parametrize(
  ('said', 'kind'),
  [("PERMISSION_DENIED: Forbidden [http_response_code='403']", UserError), ("UNAVAILABLE: Service Unavailable [http_response_code='503']", StorageUnavailable)],
)
def test_an_error_of_tensorstore_that_has_no_url_is_one_of_a_bucket(said, kind):
  assert isinstance(outage(ValueError(said)), kind)


@pytest.mark.parametrize('name', ['run-429/connect', '503/timeout'])
def test_the_name_of_a_path_does_not_make_an_outage(name):
  where = storage.as_path(f'gs://{gcs.BUCKET}/{name}')
  assert outage(FileNotFoundError(f'b/{gcs.BUCKET}/o/{name}'), where) is None
  refused = ValueError(f"PERMISSION_DENIED: Error writing gs://{gcs.BUCKET}/{name}/x http_response_code='403'")
  assert isinstance(outage(refused, where), UserError)


def test_a_request_whose_answer_is_lost_is_sent_again(proxy, tmp_path):
  """The connection stays open, as after a firewall forgot it. In a process of its own: TensorStore reads the seconds once."""
  program = """
import sys
from codemix.storage.paths import as_path, key_value_store
store, key = key_value_store(as_path(sys.argv[1]))
store.write(key, b'1').result()
print('written', flush=True)
sys.stdin.readline()
store.write(key, b'2').result()
"""
  environment = {**runs.environment(), 'TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS': '3'}
  path = storage.as_path(f'gs://{gcs.BUCKET}/lost/a')
  with subprocess.Popen([sys.executable, '-c', program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as writer:
    try:
      assert writer.stdout.readline() == 'written\n'
      proxy.fail(faulty_proxy.LOSE)
      writer.stdin.write('\n')
      writer.stdin.flush()
      until = time.monotonic() + 30
      while not proxy.failed and time.monotonic() < until:
        time.sleep(0.05)
      proxy.heal()
      assert proxy.failed and writer.wait(60) == 0
    finally:
      writer.kill()
  assert path.read_bytes() == b'2' and int(os.environ['TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS']) == 60


def test_an_upload_that_was_lost_is_an_outage_and_no_missing_bucket():
  where = storage.as_path('gs://b/x')
  begun = 'http://host/upload/storage/v1/b/b/o?uploadType=resumable&name=x'
  assert isinstance(outage(FileNotFoundError(begun), where), UserError)
  assert isinstance(outage(FileNotFoundError(f'{begun}&upload_id=9878'), where), StorageUnavailable)


@pytest.mark.parametrize('error', [ValueError('a wrong value'), OSError('no such thing'), ConnectionResetError('Connection reset by peer'), KeyError('503'), ValueError('UNKNOWN: Gloo failed: s3: Connection reset by peer')])
def test_other_errors_are_no_outages(error):
  assert outage(error) is None


def test_an_error_that_is_its_own_context_is_recognised_and_does_not_hang():
  error, handled = ValueError('gs://a: 503'), RuntimeError()
  error.__context__, handled.__context__ = handled, error
  assert isinstance(outage(error), StorageUnavailable) and outage(handled) is None


def test_a_connection_that_broke_while_it_was_written_to_is_an_outage():
  import aiohttp

  assert isinstance(outage(aiohttp.ClientOSError(32, 'Broken pipe')), StorageUnavailable)
