"""Runs, stores and checkpoints are read and written through `codemix.storage`: any of their paths may be of a bucket."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import codemix

PACKAGE = Path(codemix.__file__).parent
ROOMS = ('training', 'checkpoints', 'studies', 'report', 'contamination', 'data/store', 'data/prepare', 'data/batches', 'data/order', 'evaluation/judge')
MODULES = ('data/settings.py', 'evaluation/results.py', 'evaluation/evaluator.py', 'evaluation/held_out.py', 'parallel/shared_folder.py')
# Calls that only know a disk. `path.open()` is of any storage.
LOCAL = {
  'open', 'fcntl.flock', 'os.fsync', 'os.link', 'os.listdir', 'os.makedirs', 'os.mkdir', 'os.open', 'os.remove', 'os.rename', 'os.replace', 'os.rmdir',
  'os.scandir', 'os.stat', 'os.truncate', 'os.unlink', 'os.walk', 'np.load', 'np.memmap', 'np.save', 'np.fromfile', 'shutil.copy', 'shutil.move', 'shutil.rmtree',
  'Path',
}  # fmt: skip
ALLOWED = {
  'training/goodput.py': {'open', 'os.truncate'},  # on a disk; in a bucket it appends through storage.lines
  'training/metrics.py': {'Path'},  # the files of TensorBoard, before they are put
  'data/store/shard_writer.py': {'open', 'os.replace', 'os.unlink', 'Path'},  # a file before it is put in its place
  'data/store/document_table.py': {'np.memmap'},  # on a disk
  'data/store/raw_files.py': {'os.stat'},  # raw files, of any file system of fsspec
  'checkpoints/manager.py': {'Path'},  # a link, for names that Orbax would misread
  'contamination/scan.py': {'np.load'},  # of an open file
  'evaluation/results.py': {'np.load'},  # of an open file
  'studies/provenance.py': {'Path'},  # the checkout
  'studies/consistency.py': {'Path'},  # codemix's own source
  'training/rewinds.py': {'Path'},  # a relative path
  'data/settings.py': {'Path'},  # the user's folders
  'report/figures.py': {'Path'},  # a class of its own
}


def calls(path: Path) -> Iterator[str]:
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Call):
      yield ast.unparse(node.func)


def test_no_module_of_a_run_calls_what_only_knows_a_disk():
  files = [path for room in ROOMS for path in (PACKAGE / room).rglob('*.py')] + [PACKAGE / module for module in MODULES]
  found = {str(path.relative_to(PACKAGE)): set(calls(path)) & LOCAL for path in files}
  assert {name: used for name, used in found.items() if used} == {name: used for name, used in ALLOWED.items()}
