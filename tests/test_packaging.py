"""What is installed: every package that codemix imports is named, with its reason, and every file that it reads comes along."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import setuptools

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def canonical(requirement: str) -> str:
  return re.split(r'[^\w.-]', requirement)[0].lower().replace('_', '-')


def imported() -> set[str]:
  """The top-level modules of other distributions that codemix imports anywhere."""
  names = set()
  for path in (ROOT / 'codemix').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Import):
        names |= {alias.name.split('.')[0] for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names.add(node.module.split('.')[0])
  return names - set(sys.stdlib_module_names) - {'codemix'}


# Of another Python, in which a file of codemix runs to compare the two (launch/peers.sh).
PEERS = {'torch', 'transformers'}


def test_every_package_that_codemix_imports_is_a_dependency_of_its_own():
  extras = PROJECT['optional-dependencies']
  named = {canonical(each) for each in (*PROJECT['dependencies'], *extras['beam'], *extras['gcs'], *extras['s3'], *extras['judge'], *extras['lm_eval'])}
  distributions = packages_distributions()
  missing = {
    name for name in imported() - PEERS if not named & {canonical(each) for each in distributions.get(name, [name])}
  }
  assert not missing


def test_every_dependency_has_its_reason_in_the_docs():
  table = (ROOT / 'docs' / 'decisions.md').read_text().partition('## Dependencies')[2].partition('\n## ')[0]
  cells = [line.split('|')[1] for line in table.splitlines() if line.startswith('| ')]
  explained = {name.strip().lower() for cell in cells for name in cell.split(',')}
  assert {canonical(each) for each in PROJECT['dependencies']} <= explained


def test_every_file_that_is_not_python_is_installed(monkeypatch):
  said = {}
  monkeypatch.setattr(setuptools, 'setup', lambda **arguments: said.update(arguments))
  monkeypatch.chdir(ROOT)
  runpy.run_path('setup.py')
  installed = {
    path
    for package, patterns in said['package_data'].items()
    for pattern in patterns
    for path in (ROOT / said['package_dir'].get(package, package.replace('.', '/'))).glob(pattern)
  }
  there = {
    path
    for folder in ('codemix', 'gin')
    for path in (ROOT / folder).rglob('*')
    if path.is_file() and path.suffix not in ('.py', '.pyc')
  }
  assert there and there == installed
  assert not [package for package in said['packages'] if 'tests' in package.split('.')]
