"""Problems of code benchmarks: rows of the released files into items."""

from __future__ import annotations

import ast
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

from codemix.data.evaluation_sets.folder import EvaluationFolder, Wanted
from codemix.errors import UserError
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.task import Items

Problem = Callable[[str, Mapping, str], Item]  # of (place, row, language)


class ProblemSource(Protocol):
  """Where a code benchmark gets its items."""

  def read(self, folder: EvaluationFolder, task: str, language: str) -> Items:
    """The items, with ids of their own. Raises UserError if a file is missing, damaged or of another form."""


@dataclasses.dataclass(frozen=True)
class ProblemFile:
  """The released file of a code benchmark.

  Attributes:
    file: the file.
    problem: makes an item of a row.
  """

  file: Wanted
  problem: Problem

  def read(self, folder: EvaluationFolder, task: str, language: str) -> Items:
    """The items, in the file's order. Raises UserError that names the place."""
    rows = folder.rows(self.file, task)
    items = [self.problem(place, row, language) for place, row in rows.rows]
    seen = set()
    for (place, _), item in zip(rows.rows, items, strict=True):
      if item.id in seen:
        raise UserError(f"{place}: the id '{item.id}' is that of an earlier item.")
      seen.add(item.id)
    if not items:
      raise UserError(f"task '{task}': {', '.join(rows.data)} has no rows.")
    return Items(items, dict(rows.data))


_MISSING = 'is not of the form that upstream publishes'


def human_eval(place: str, row: Mapping, language: str) -> Item:
  """A problem of HumanEval, or of its translations by mxeval; the prompt is upstream's to the byte.

  The item's fields are 'before' (source before the completion), 'tests' and, for Python, 'names' (those of the
  solution that the tests use).
  """
  id, prompt, tests, entry = _texts(place, row, 'task_id', 'prompt', 'test', 'entry_point')
  reference = row.get('canonical_solution') or ''
  if language != 'python':
    return Item(id, prompt, reference=reference, fields={'before': prompt, 'tests': tests})
  tests = f'{tests}\ncheck({entry})\n'
  tests, _ = _with_definitions(place, tests, prompt + reference, _prompt_names(place, prompt) - {entry})
  return Item(id, prompt, reference=reference, fields={'before': prompt, 'tests': tests, 'names': [entry]})


def mbpp(place: str, row: Mapping, language: str) -> Item:
  """A problem of MBPP, in its full or sanitized form: the text and its tests as a docstring, then the solution."""
  sanitized = 'prompt' in row
  text, code = _texts(place, row, 'prompt' if sanitized else 'text', 'code')
  tests = row.get('test_list')
  if not isinstance(row.get('task_id'), int) or not isinstance(tests, list) or not tests:
    raise UserError(f"{place} {_MISSING}: it lacks a number 'task_id' or a list 'test_list'.")
  setup = '\n'.join(row.get('test_imports', ())) if sanitized else row.get('test_setup_code') or ''
  shown = '\n'.join(test.strip() for test in tests)
  code = code.replace('\r\n', '\n').strip() + '\n'
  all_tests = '\n'.join([setup.replace('\r\n', '\n'), *tests, *row.get('challenge_test_list', ())])
  all_tests, names = _with_definitions(place, all_tests, code)
  prompt = f'"""\n{text.strip()}\n{shown}\n"""\n'
  return Item(str(row['task_id']), prompt, reference=code, fields={'before': '', 'tests': all_tests, 'names': sorted(names)})


def crux_output(place: str, row: Mapping, language: str) -> Item:
  """A problem of CRUXEval-O: what does the function return? The completion is a Python expression."""
  id, code, given, output = _texts(place, row, 'id', 'code', 'input', 'output')
  prompt = f'{code}\n\nassert f({given}) =='
  return Item(id, prompt, reference=f' {output}', fields={'before': '', 'expected': output})


def crux_input(place: str, row: Mapping, language: str) -> Item:
  """A problem of CRUXEval-I: with which arguments does the function return this? The completion is the arguments."""
  id, code, given, output = _texts(place, row, 'id', 'code', 'input', 'output')
  prompt = f'{code}\n\nassert {output} == f('
  body = _parsed(place, code).body
  constants = set().union(*(_defined(node) for node in body if isinstance(node, ast.Assign)))
  imported = set().union(*(_imported(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)))
  defined = set().union(imported, *map(_defined, body))
  fields = {'before': code, 'constants': sorted(constants), 'defined': sorted(defined), 'expected': output}
  return Item(id, prompt, reference=f'{given})', fields=fields)


def _texts(place: str, row: Mapping, *fields: str) -> list[str]:
  for field in fields:
    if not isinstance(row.get(field), str):
      raise UserError(f"{place} {_MISSING}: it lacks the text '{field}'.")
  return [row[field] for field in fields]


def _with_definitions(place: str, tests: str, solution: str, trusted: frozenset[str] = frozenset()) -> tuple[str, set[str]]:
  """(tests with the definitions that they need, names that they take from the solution).

  The tests run apart from the solution, so they import for themselves, and have functions of the prompt of their own:
  a completion may replace those of the prompt.

  Args:
    trusted: names that the prompt defines.
  """
  used = {node.id for node in ast.walk(_parsed(place, tests)) if isinstance(node, ast.Name)}
  body = _parsed(place, solution).body
  names = set().union(*map(_defined, body)) & used - trusted
  if needed := trusted & used:  # with what they need themselves: other functions and imports of the prompt
    kept = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom) or _defined(node) & trusted]
  else:
    kept = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom) and _imported(node) & used]
  return '\n'.join([*map(ast.unparse, kept), tests]), names - needed


def _prompt_names(place: str, prompt: str) -> frozenset[str]:
  """The functions and classes that a prompt defines; its last function has a docstring for a body."""
  return frozenset().union(*map(_defined, _parsed(place, prompt).body))


def _parsed(place: str, source: str) -> ast.Module:
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # solutions with escapes such as '\\d', which Python warns of
      return ast.parse(source)
  except (SyntaxError, ValueError, RecursionError) as error:
    raise UserError(f'{place} {_MISSING}: its prompt, tests or solution are not Python ({error}).') from None


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
  return {alias.asname or alias.name.partition('.')[0] for alias in node.names}


def _defined(node: ast.stmt) -> set[str]:
  if isinstance(node, ast.FunctionDef | ast.ClassDef):
    return {node.name}
  targets = node.targets if isinstance(node, ast.Assign) else []
  return {target.id for target in targets if isinstance(target, ast.Name)}


@dataclasses.dataclass(frozen=True)
class Ends:
  """Where a completion ends, and what is appended to it.

  Attributes:
    stops: texts; generation stops before the first of them, and what follows is cut.
    closing: appended to a completion that was stopped, such as the bracket that closes the function.
  """

  stops: tuple[str, ...]
  closing: str = ''

  def cut(self, completion: str, ended_by: str) -> str:
    """The part of a completion that is executed. `ended_by` is '' if it is not known, as in a file."""
    places = [found for stop in self.stops if (found := completion.find(stop)) >= 0]
    text = completion[: min(places)] if places else completion
    return text + self.closing if places or ended_by in ('stop', '') else text
