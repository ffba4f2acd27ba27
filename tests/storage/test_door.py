"""What a run or a user names is read and written through `codemix.storage`: any of these paths may be of a bucket."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import codemix

PACKAGE = Path(codemix.__file__).parent
# Rooms without paths of a run or of a user: the door itself; raw files, of any file system of fsspec; programs on this machine; and
# what is measured in a temporary folder.
OTHERS = ('storage', 'data/raw', 'sandbox', 'launch', 'workers', 'benchmarks')
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
  'checkpoints/orbax_folder.py': {'Path'},  # a link, for names that Orbax would misread
  'contamination/scan.py': {'np.load'},  # of an open file
  'evaluation/results.py': {'np.load'},  # of an open file
  'studies/provenance.py': {'Path'},  # the checkout
  'studies/consistency.py': {'Path'},  # codemix's own source
  'training/rewinds.py': {'Path'},  # a relative path
  'data/settings.py': {'Path'},  # the user's folders
  'report/figures.py': {'Path'},  # a class of its own
  'identity.py': {'open'},  # of a path's text, which no path of a bucket is
  'terminal.py': {'os.open'},  # /dev/null
  'commands/bench.py': {'Path'},  # a temporary folder
  'commands/experiment.py': {'Path'},  # the name of a gin file
  'commands/launch.py': {'Path'},  # the folder of logs for a run in a bucket
  'commands/launch_remote.py': {'Path', 'shutil.copy'},  # temporary folders
  'config/load.py': {'Path'},  # gin files that were found on the disk
  'data/corpus/identity.py': {'Path'},  # Python modules
  'data/corpus/readers/posts_xml.py': {'Path'},  # a temporary folder
  'data/corpus/readers/whole_files.py': {'Path'},  # after a question for the file system
  'data/evaluation_sets/folder.py': {'Path'},  # on a disk, as `local_path` has required
  'data/local_corpora/installation.py': {'Path', 'os.walk'},  # of Python
  'data/local_corpora/readers.py': {'Path'},  # of the installation
  'data/local_corpora/store.py': {'shutil.rmtree'},  # on a disk, as `local_path` has required
  'data/seqio/function_identity.py': {'Path'},  # files that a task's code names
  'gin_stages.py': {'Path'},  # a temporary folder
  'huggingface/folder.py': {'Path'},  # a temporary folder
  'huggingface/peer.py': {'open'},  # a temporary file, in a Python without codemix
  'huggingface/verify.py': {'Path', 'np.load'},  # a Python, and temporary files
  'parallel/libtpu.py': {'Path'},  # of the system
  'planner/this_machine.py': {'Path'},  # of the system
}


def calls(path: Path) -> Iterator[str]:
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    match node:
      case ast.Call(ast.Name(name)):
        yield name
      case ast.Call(ast.Attribute(ast.Name(module), name)):
        yield f'{module}.{name}'


def test_no_module_calls_what_only_knows_a_disk():
  others = [PACKAGE / room for room in OTHERS]
  files = [path for path in PACKAGE.rglob('*.py') if not any(path.is_relative_to(room) for room in others)]
  found = {str(path.relative_to(PACKAGE)): set(calls(path)) & LOCAL for path in files}
  assert {name: used for name, used in found.items() if used} == {name: used for name, used in ALLOWED.items()}
