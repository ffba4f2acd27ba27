"""Finds the files of a Python installation of which the corpora are made.

They are those of the standard library and of the distributions that codemix requires. Other
installed distributions do not change the corpora, nor does codemix's own source.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from codemix.errors import UserError, nearest

STANDARD_LIBRARY = 'python'  # the `source` of its files; that of others is their distribution
_SUFFIXES = frozenset(['.py', '.md', '.rst', '.txt'])
_NO_READMES = re.compile(r'(?i)licen[cs]e|copying|notice|authors|contributors|credits|requirements')
# The standard library's folders that are other people's code, tests of syntax, or caches.
_OUTSIDE = frozenset(['site-packages', 'dist-packages', 'test', '__pycache__'])
# Folders of copies of other distributions.
_VENDORED = frozenset(['_vendor', '_vendored', 'vendor', 'vendored', '_vendored_packages'])


@dataclasses.dataclass(frozen=True)
class InstalledFile:
  """A file of a distribution; `path` is relative to where its modules lie, with slashes."""

  source: str
  path: str
  location: Path

  @property
  def name(self) -> str:
    return f'{self.source}:{self.path}'

  @property
  def is_test(self) -> bool:
    *folders, file = PurePosixPath(self.path).parts
    tests = {'test', 'tests', 'testing', 'idle_test', 'conftest.py'}
    return not tests.isdisjoint([*folders, file]) or bool(re.search(r'^test_|_tests?\.py$', file))


@dataclasses.dataclass(frozen=True)
class Installation:
  """What the corpora are made of, in an order that does not depend on the file system.

  Attributes:
    versions: of each distribution, and of the standard library as 'python'.
    descriptions: the long descriptions of distributions, by their name.
  """

  versions: dict[str, str]
  files: tuple[InstalledFile, ...]
  descriptions: dict[str, str]


def find_installation(
  distributions: Sequence[str] | None = None, modules: Sequence[str] | None = None
) -> Installation:
  """Lists the files of the standard library and of distributions.

  Args:
    distributions: their names; None for all that codemix requires, directly or not, its
      extras left out (or for all installed ones where codemix is not an installed distribution).
    modules: top-level modules and packages of the standard library; None for all.

  Raises UserError: a distribution is not installed, or a module is not in the standard library.
  """
  installed = _installed()
  names = _needed(installed) if distributions is None else _known(distributions, installed)
  versions = {STANDARD_LIBRARY: platform.python_version()}
  versions |= {name: installed[name].version for name in names}
  files = [*_library_files(modules)]
  files += (file for name in names for file in _distribution_files(name, installed[name]))
  unique = {file.location: file for file in sorted(files, key=lambda file: file.name)}
  # Newer metadata keeps the long description in the body, older in a header.
  description = lambda metadata: metadata.get_payload() or metadata.get('Description') or ''
  descriptions = {name: description(installed[name].metadata) for name in names}
  return Installation(versions, tuple(unique.values()), descriptions)


def _installed() -> dict[str, Distribution]:
  """The distribution that `import` finds first for each name."""
  found: dict[str, Distribution] = {}
  for distribution in distributions():
    if name := distribution.metadata['Name']:
      found.setdefault(canonicalize_name(name), distribution)
  return found


def _needed(installed: Mapping[str, Distribution]) -> list[str]:
  """Names in the dependency closure of codemix, sorted."""
  if 'codemix' not in installed:
    return sorted(installed)
  reached: set[tuple[str, str]] = set()  # of (distribution, extra)
  ahead = [('codemix', '')]
  while ahead:
    name, extra = ahead.pop()
    if (name, extra) in reached or name not in installed:
      continue
    reached.add((name, extra))
    for line in installed[name].requires or ():
      requirement = Requirement(line)
      if requirement.marker is None or requirement.marker.evaluate({'extra': extra}):
        required = canonicalize_name(requirement.name)
        ahead.extend((required, wanted) for wanted in ['', *requirement.extras])
  return sorted({name for name, _ in reached} - {'codemix'})


def _known(names: Iterable[str], installed: Mapping[str, Distribution]) -> list[str]:
  canonical = sorted({canonicalize_name(name) for name in names})
  for name in canonical:
    if name not in installed:
      raise UserError(f"distribution '{name}' is not installed.{nearest(name, installed)}")
  return canonical


def _library_files(modules: Sequence[str] | None) -> Iterator[InstalledFile]:
  """Files of the standard library; stray ones beside it (sitecustomize, say) are left out."""
  known = sys.stdlib_module_names
  for module in modules or ():
    if module not in known:
      raise UserError(f"'{module}' is not a module of the standard library.{nearest(module, known)}")
  wanted = known if modules is None else frozenset(modules)
  root = Path(sysconfig.get_path('stdlib'))
  for folder, folders, names in os.walk(root):
    if folder == str(root):
      folders[:] = wanted.intersection(folders)
      names = [name for name in names if name.removesuffix('.py') in wanted]
    folders[:] = [name for name in folders if name not in _OUTSIDE]
    for name in names:
      location = Path(folder, name)
      if location.suffix in _SUFFIXES and not _NO_READMES.search(name):
        path = location.relative_to(root).as_posix()
        yield InstalledFile(STANDARD_LIBRARY, path, location)


def _distribution_files(name: str, distribution: Distribution) -> Iterator[InstalledFile]:
  """The recorded files beside the modules; scripts, which hold the installation's path, are not."""
  for path in distribution.files or ():
    folders = path.parts[:-1]
    if path.suffix not in _SUFFIXES or '..' in folders or path.is_absolute():
      continue
    if not _VENDORED.isdisjoint(folders) or any(part.endswith('.dist-info') for part in folders):
      continue
    if path.suffix == '.py' or not _NO_READMES.search(path.name):
      location = Path(distribution.locate_file(path))
      if location.is_file():
        yield InstalledFile(name, path.as_posix(), location)
