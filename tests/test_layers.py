"""Dependencies point one way, and the path of a training step needs neither TensorFlow nor SeqIO nor gin."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'codemix'

# From the bottom; a module may import from its own layer and those below.
LAYERS = (
  ('errors', 'checked', 'files', 'identity', 'numerics', 'terminal', 'console', 'formatting'),
  ('data', 'models', 'parallel', 'checkpoints', 'sandbox'),
  ('training', 'evaluation'),
  ('studies', 'report', 'contamination', 'benchmarks'),
  ('planner',),
  ('configurables', 'config', 'commands', 'noise'),
  ('cli', '__main__', '__init__'),
)
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}


def _module(path: Path) -> str:
  return path.relative_to(PACKAGE).with_suffix('').parts[0]


def _imported(path: Path):
  """(line, first part below codemix) of each import of codemix in a file, at any depth of it."""
  for node in ast.walk(ast.parse(path.read_text())):
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
      names = [node.module] if node.module != 'codemix' else [f'codemix.{a.name}' for a in node.names]
    for name in names:
      if name.startswith('codemix.'):
        yield node.lineno, name.split('.')[1]


@pytest.mark.parametrize('path', sorted(PACKAGE.rglob('*.py')), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_imports_from_a_layer_above_its_own(path):
  upward = [
    f'line {line}: {name}' for line, name in _imported(path) if LAYER[name] > LAYER[_module(path)]
  ]
  assert not upward


def test_nothing_imports_the_command_line():
  importers = {
    str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob('*.py') for _, name in _imported(path) if name == 'cli'
  }
  assert importers == {'__main__.py'}


def _modules_after(code: str) -> set[str]:
  """Names of the packages loaded by a fresh Python that runs `code`."""
  script = f'{code}\nimport sys; print(" ".join({{name.split(".")[0] for name in sys.modules}}))'
  ran = subprocess.run(
    [sys.executable, '-c', script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
  )
  return set(ran.stdout.split())


def test_importing_codemix_loads_none_of_the_heavy_packages():
  assert not _modules_after('import codemix') & {'jax', 'tensorflow', 'seqio', 'gin', 'numpy', 'pandas'}


def test_help_loads_none_of_the_heavy_packages():
  code = 'from codemix.cli import main; import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): main(["--help"])'
  assert not _modules_after(code) & {'jax', 'tensorflow', 'seqio', 'gin', 'numpy', 'pandas'}


def test_training_evaluating_and_generating_load_neither_tensorflow_nor_seqio_nor_gin():
  folders = ('checkpoints', 'models', 'parallel', 'training', 'evaluation')
  names = [
    '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
    for path in sorted(PACKAGE.rglob('*.py'))
    if _module(path) in folders and path.name != '__init__.py'
  ]
  names += ['codemix.data.batches.loader', 'codemix.data.batches.ledger', 'codemix.data.settings', 'codemix.studies.runner']
  code = '\n'.join(f'import {name}' for name in names)
  assert not _modules_after(code) & {'tensorflow', 'seqio', 'gin', 'tensorflow_datasets', 'torch'}
