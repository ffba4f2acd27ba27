"""Who works in a folder can be asked, on a disk and in a bucket; asking takes no lock and stops nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from codemix.storage import holder, lease, locked
from codemix.storage.lines import open_lines, read_tail

ROOT = Path(__file__).resolve().parents[2]
HOLD = 'import sys\nfrom codemix.storage import locked, as_path\nwith locked(as_path(sys.argv[1]), "training"):\n  print("held", flush=True)\n  sys.stdin.read()'


def test_the_holder_is_the_process_that_holds_the_lock_and_nobody_after_it(place):
  assert holder(place) is None
  with subprocess.Popen([sys.executable, '-c', HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
    assert process.stdout.readline() == 'held\n'
    found = holder(place)
    assert found.doing == 'training' and found.name.startswith(f'process {process.pid} on ')
    process.kill()
  assert holder(place) is None
  with locked(place, 'evaluating'):
    assert holder(place).doing == 'evaluating' and holder(place).name.startswith(f'process {os.getpid()} on ')
  assert holder(place) is None


def test_asking_again_and_again_keeps_nobody_from_the_lock(tmp_path):
  (tmp_path / '.lock').touch()
  ended = threading.Event()

  def ask() -> None:
    while not ended.is_set():
      holder(tmp_path)

  askers = [threading.Thread(target=ask) for _ in range(2)]
  for asker in askers:
    asker.start()
  try:
    for _ in range(300):
      with locked(tmp_path, 'training'):
        pass
  finally:
    ended.set()
    for asker in askers:
      asker.join()


def test_a_lock_without_a_name_is_held_by_somebody(tmp_path):
  with locked(tmp_path, 'training'):
    for content in ('', 'x', '[]', '{"pid"'):
      (tmp_path / '.lock').write_text(content)
      assert holder(tmp_path).name == ''


def test_a_lease_of_another_machine_counts_as_long_as_it_is_written(bucket_folder, monkeypatch):
  (bucket_folder / lease.FILE).write_bytes(json.dumps({'host': 'node-7', 'boot': 'x', 'pid': 4711, 'token': 't', 'doing': 'training', 'beat': 1}).encode())
  found = holder(bucket_folder)
  assert found.name == 'process 4711 on node-7' and 0 <= found.silent_s < 30
  monkeypatch.setattr(lease, 'EXPIRY_S', -1.0)
  assert holder(bucket_folder) is None


@given(st.lists(st.text(st.characters(blacklist_characters='\n\r', blacklist_categories=('Cs', 'Zl', 'Zp', 'Cc')), max_size=9)), st.integers(1, 60), st.text(st.characters(codec='ascii', blacklist_characters='\n'), max_size=3))
def test_the_tail_is_the_end_of_the_whole_lines(lines, size, half):
  import tempfile

  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / 'lines'
    path.write_bytes(''.join(f'{line}\n' for line in lines).encode() + half.encode())
    found = read_tail(path, size)
    expected = [line.encode() for line in lines]
    assert found == expected[len(expected) - len(found) :]
    assert sum(len(line) + 1 for line in found) + len(half) <= max(size, path.stat().st_size)
    whole = path.stat().st_size <= size
    assert found == expected if whole else len(found) < len(expected) + 1


def test_the_tail_of_what_is_in_parts_is_its_last_lines(place):
  assert read_tail(place / 'lines.jsonl') == []
  lines = open_lines(place / 'lines.jsonl')
  lines.append(map(str, range(1000)))
  lines.flush()
  assert read_tail(place / 'lines.jsonl')[-3:] == [b'997', b'998', b'999']
  lines.close()
