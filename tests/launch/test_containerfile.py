"""The steps of the container file install codemix in an empty root: no image, but its COPY and RUN lines as they are written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def steps() -> list[tuple[str, str]]:
  """The instructions of the container file, with their words."""
  lines = (ROOT / 'launch' / 'Containerfile').read_text().replace('\\\n', ' ').splitlines()
  return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith('#')]


def copied(folder: Path) -> Path:
  """The folder of the build, with what the COPY lines take from the checkout and nothing else."""
  (build := folder / 'codemix').mkdir()
  for instruction, words in steps():
    if instruction == 'COPY':
      *sources, target = words.split()
      for source in sources:
        if (ROOT / source).is_dir():
          shutil.copytree(ROOT / source, build / target, ignore=shutil.ignore_patterns('__pycache__'))
        else:
          shutil.copy(ROOT / source, build / target)
  return build


def in_empty_root(folder: Path, where: str, command: str, variables: dict[str, str]) -> subprocess.CompletedProcess:
  """Runs a command with the folder as /, in which of this machine's files only programs, libraries and the network's settings are."""
  seen = [path for path in ('/usr', '/lib', '/lib64', '/bin', '/etc', '/opt') if Path(path).exists()]
  python = str(Path(sys.base_prefix).resolve())  # where this Python is installed; it may be outside of /usr
  words = ['bwrap', '--bind', folder, '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp']
  words += [word for path in dict.fromkeys([*seen, python]) for word in ('--ro-bind', path, path)]
  kept = {name: value for name, value in os.environ.items() if name.startswith('PIP_') or name.lower().endswith('_proxy')}
  environment = {**kept, 'PATH': f'/environment/bin:{os.defpath}', 'HOME': '/root', **variables}
  return subprocess.run([*words, '--chdir', where, '--die-with-parent', 'sh', '-c', command], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which('bwrap'), reason='bubblewrap is not installed')
@pytest.mark.slow
def test_the_install_steps_work_in_an_empty_root(tmp_path):
  copied(tmp_path)
  for name in ('root', 'run', 'environment'):
    (tmp_path / name).mkdir()
  made = in_empty_root(tmp_path, '/', f'{Path(sys.base_prefix).resolve()}/bin/python3 -m venv /environment', {})  # the image's Python
  if 'Operation not permitted' in made.stderr or 'No permissions' in made.stderr:
    pytest.skip(f'bubblewrap cannot make its namespaces here: {made.stderr}')
  assert made.returncode == 0, made.stderr
  where, variables, runs = '/', {}, 0
  for instruction, words in steps():
    if instruction == 'ARG':
      name, _, value = words.partition('=')
      variables[name] = value
    elif instruction == 'WORKDIR':
      where = words
    elif instruction == 'RUN':
      ran = in_empty_root(tmp_path, where, words, variables)
      assert ran.returncode == 0, ran.stdout + ran.stderr
      runs += 1
  assert runs == 2
  shutil.rmtree(tmp_path / 'codemix')
  # With the folder of the build gone: gin files and scripts ship with the package, and libraries of a TPU host are there.
  run = '--topology=v5e:2x4 --gin_file=recipes/balanced_to_text.gin --gin.Runtime.output="\'gs://b/r\'" --gin.Data.directory="\'gs://b/d\'" --dry_run'
  shown = in_empty_root(tmp_path, '/run', f'python3 -m codemix launch tpu_vm --zone=z {run} && python3 -c "import libtpu, gcsfs"', {})
  assert shown.returncode == 0 and '# worker.sh\n#!/bin/bash\n' in shown.stdout, shown.stderr


def test_what_is_copied_is_there_and_names_all_that_the_build_reads():
  taken = {word for instruction, words in steps() if instruction == 'COPY' for word in words.split()[:-1]}
  assert all((ROOT / name).exists() for name in taken)
  assert taken >= {'pyproject.toml', 'setup.py', 'constraints.txt', 'codemix', 'gin'} and 'README.md' in (ROOT / 'pyproject.toml').read_text()
