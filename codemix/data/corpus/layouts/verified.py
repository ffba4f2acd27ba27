"""Layouts of verified code: the text, and the program that proves it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from codemix.checked import Name, checked
from codemix.data.raw.fields import (
  FieldError,
  has,
  is_blank,
  labels,
  needed,
  sets_aside,
  string,
  value,
)
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record


@dataclasses.dataclass(frozen=True)
@checked
class Verified(RowParser):
  """A problem with its solution as the text, and with its tests as `Record.program`.

  The defaults are the fields of MBXP, Multilingual HumanEval and MathQA-Python. A problem without
  a solution is set aside as such, and so is one without tests, where `test` is a field. Code that holds its own checks (the CRUXEval corpus) is
  `Verified(prompt='', solution='text', test='', entry_point='')`.

  Attributes:
    prompt: field of the beginning of the code; '' for none.
    solution: field of the code that follows it, letter for letter.
    test: field of the code that raises where the solution is wrong; '' for none.
    entry_point: field of the name of the function under test; '' for none. Python tests that
      define `check(candidate)` are called with it.
    source, language, id: fields, as in `Text`.
  """

  stable_name, version = 'verified', 1

  prompt: str = 'prompt'
  solution: Name = 'canonical_solution'
  test: str = 'test'
  entry_point: str = 'entry_point'
  source: str | None = None
  language: str | None = None
  id: str | None = 'task_id'

  def needed_fields(self) -> tuple[str, ...]:
    code = (self.prompt, self.solution, self.test, self.entry_point)
    return needed(*code, source=self.source, language=self.language, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    if is_blank(row, self.solution):
      raise FieldError('no solution', expected=True)
    if self.test and is_blank(row, self.test):
      raise FieldError('no tests', expected=True)
    text = (string(row, self.prompt) if self.prompt else '') + string(row, self.solution)
    found = labels(row, source=self.source, language=self.language, id=self.id)
    return Record(text, **found, program=self._program(row, text, found['language']))

  def _program(self, row: Mapping, text: str, language: str) -> str:
    test = string(row, self.test) if self.test else ''
    if language.lower() == 'python' and self.entry_point and re.search(r'^def check\(', test, re.M):
      # Taken before the tests are defined: a few functions under test are called `check` themselves.
      if is_blank(row, self.entry_point):
        raise FieldError('no entry point', f"its tests are called with the function in '{self.entry_point}'")
      candidate = f'_candidate = {string(row, self.entry_point)}'
      return f'{text}\n\n{candidate}\n\n{test}\n\ncheck(_candidate)\n'
    return f'{text}\n{test}' if test else text


@dataclasses.dataclass(frozen=True)
@checked
class Puzzle(RowParser):
  """Python Programming Puzzles: `sat`, which says what is asked for, and `sol`, which finds it.

  The file is one JSON list (`JsonArray`). Each of several solutions is a document; a puzzle
  without one is set aside as such.

  Attributes:
    source: of all documents; '' for the name of the corpus.
  """

  stable_name, version = 'puzzle', 2

  source: str = ''

  def needed_fields(self) -> tuple[str, ...]:
    return ('sat', 'sol_header', 'sol_docstring', 'sol_bodies', 'name')

  @sets_aside
  def record(self, place: str, row: Mapping) -> list[Record] | BadRecord:
    bodies = value(row, 'sol_bodies')
    if not isinstance(bodies, list) or not bodies:
      raise FieldError('no solution', expected=True)
    if is_blank(row, 'sat'):
      raise FieldError('no puzzle', expected=True)
    return [self._solved(row, string({'sol_bodies': body}, 'sol_bodies')) for body in bodies]

  def _solved(self, row: Mapping, body: str) -> Record:
    docstring = string(row, 'sol_docstring') if has(row, 'sol_docstring') else ''
    sol = '\n'.join(line for line in (string(row, 'sol_header'), docstring, body) if line.strip())
    text = f'{string(row, "sat")}\n\n\n{sol}\n'
    program = f'from typing import *\n\n\n{text}\n\nassert sat(sol()) is True\n'
    return Record(text, self.source, 'python', string(row, 'name'), program)
