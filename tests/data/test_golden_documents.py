"""What comes out of each reader, row parser, filter and transformation is that of its declared version.

`tests/golden/documents.jsonl` has it. After a change that is meant, raise `version` of each part
that the tests name, and run `python -m tests.data.test_golden_documents`.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemix.data import filters, transformations
from codemix.data.corpus import layouts, readers
from codemix.data.corpus.identity import definition
from codemix.data.filters import Filter
from codemix.data.transformations import Transformation
from tests.data.golden_cases import CASES

GOLDEN = Path(__file__).resolve().parents[1] / 'golden' / 'documents.jsonl'


def given(name: str, folder: Path) -> list[str]:
  """A line for the part and its version, then one for each document."""
  part, documents = CASES[name](folder)
  head = {'part': name, 'version': type(part).version}
  return [json.dumps(each, ensure_ascii=False, sort_keys=True) for each in (head, *documents)]


def golden() -> dict[str, list[str]]:
  lines = GOLDEN.read_text().removesuffix('\n').split('\n') if GOLDEN.exists() else []
  heads = [index for index, line in enumerate(lines) if line.startswith('{"part":')]
  parts = [lines[begin:end] for begin, end in itertools.pairwise([*heads, len(lines)])]
  return {json.loads(part[0])['part']: part for part in parts}


def fault(name: str, found: list[str], pinned: list[str]) -> str | None:
  """What is wrong where the documents differ from the pinned ones, with the first that does."""
  if found == pinned:
    return None
  if pinned and found[0] != pinned[0]:
    return f'{name} has another version than in {GOLDEN.name}: run `python -m tests.data.test_golden_documents` to write it anew'
  then, now = next((pair for pair in itertools.zip_longest(pinned, found) if pair[0] != pair[1]), ('', ''))
  return (
    f'what {name} gives has changed: raise its `version` and run `python -m tests.data.test_golden_documents` to write it anew\n'
    f'  then: {then}\n  now:  {now}'
  )


def classes() -> Iterator[type]:
  """Every reader, row parser, filter and transformation of codemix."""
  for package in (readers, layouts, filters, transformations):
    for module in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
      for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
        of_module = found.__module__ == module.name and found not in (Filter, Transformation)
        if of_module and any(hasattr(found, name) for name in ('rows', 'record', 'reason', 'transformed')):
          yield found


@pytest.mark.parametrize('name', CASES)
def test_what_a_part_gives_is_that_of_its_version(name, tmp_path):
  assert (wrong := fault(name, given(name, tmp_path), golden()[name])) is None, wrong


def test_each_part_declares_a_name_of_its_own_and_a_version_and_has_a_case():
  names = [vars(each)['stable_name'] for each in classes()]
  assert sorted(names) == sorted(CASES) == sorted(golden())
  assert len(set(names)) == len(names)
  assert all(isinstance(vars(each)['version'], int) for each in classes())
  assert all(definition(each).keys() == {'name', 'version'} for each in classes())


@pytest.mark.parametrize(
  ('helper', 'user'),
  [
    ('codemix.data.corpus.layouts.question.html_to_text', 'question'),
    ('codemix.data.corpus.layouts.notebook.language_of_kernel', 'notebook'),
    ('codemix.data.corpus.layouts.text.string', 'text'),
    ('codemix.data.corpus.readers.whole_files.language_of', 'whole_files'),
    ('codemix.data.filters.selection.languages.language_of', 'languages'),
  ],
)
def test_a_helper_that_gives_something_else_changes_what_its_users_give(helper, user, tmp_path, monkeypatch):
  monkeypatch.setattr(helper, lambda *arguments: 'something else')
  wrong = fault(user, given(user, tmp_path), golden()[user])
  assert wrong.startswith(f'what {user} gives has changed: raise its `version`')


def main() -> None:
  pinned, lines = golden(), []
  for name in CASES:
    with tempfile.TemporaryDirectory() as folder:
      found = given(name, Path(folder))
    if name in pinned and found[0] == pinned[name][0] and (wrong := fault(name, found, pinned[name])):
      sys.exit(wrong)
    lines += found
  GOLDEN.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
  main()
