"""The layout of commits: the message, and what it did to a file."""

from __future__ import annotations

import dataclasses
import difflib
import os.path
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from codemix.checked import From, Name, checked
from codemix.data.raw.fields import FieldError, has, labels, needed, sets_aside, string
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record

# A minimal diff of more changed lines takes minutes, and is about as long as the two files.
_MAX_COMPARED_LINES = 4000


@dataclasses.dataclass(frozen=True)
@checked
class Commit(RowParser):
  """A message and a change as one document. The defaults are the fields of CommitPack and of the commits of The Stack.

  Attributes:
    message: field of the commit message.
    old, new: fields of the file before and after; null or empty where it was made or deleted.
    diff: field of a diff; where it is given, `old` and `new` are not looked at.
    form: of a commit with `old` and `new`: 'diff' for the message and a unified diff, 'files' for
      the old file, the message and the new file (the order in which StarCoder was shown them).
    path: field of the file's name, for the head of the diff; '' for none.
    context: unchanged lines around each change of a diff.
    source, language, id: fields, as in `Text`.
  """

  stable_name, version = 'commit', 1

  message: Name = 'message'
  old: str = 'old_contents'
  new: str = 'new_contents'
  diff: str = ''
  form: Literal['diff', 'files'] = 'diff'
  path: str = 'new_file'
  context: Annotated[int, From(0), 'lines'] = 3
  source: str | None = None
  language: str | None = None
  id: str | None = 'commit'

  def needed_fields(self) -> tuple[str, ...]:
    change = (self.diff,) if self.diff else (self.old, self.new, self.path)
    return needed(self.message, *change, source=self.source, language=self.language, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    return Record(self._text(row), **labels(row, source=self.source, language=self.language, id=self.id))

  def _text(self, row: Mapping) -> str:
    message = string(row, self.message).strip()
    if self.diff and (diff := string(row, self.diff)).strip():
      return _paragraphs(message, diff)
    old, new = ('', '') if self.diff else (string(row, self.old), string(row, self.new))
    if old == new:
      raise FieldError('no change', expected=True)
    if self.form == 'files':
      return _paragraphs(old.rstrip('\n'), message, new)
    path = string(row, self.path) if self.path and has(row, self.path) else ''
    return _paragraphs(message, unified_diff(old, new, path or 'file', self.context))


def _paragraphs(*parts: str) -> str:
  return '\n\n'.join(part for part in parts if part)


def unified_diff(old: str, new: str, path: str, context: int = 3) -> str:
  """The difference of two files as `diff -u` writes it.

  Where more than 4000 lines lie between the first and the last change, all of them are given as
  removed and added.
  """
  old_lines, new_lines = _lines(old), _lines(new)
  head = [f'--- {f"a/{path}" if old else "/dev/null"}', f'+++ {f"b/{path}" if new else "/dev/null"}']
  return '\n'.join([*head, *_hunks(old_lines, new_lines, context)])


def _hunks(old: Sequence[str], new: Sequence[str], context: int) -> list[str]:
  first = _common(old, new)
  last = min(_common(old[::-1], new[::-1]), min(len(old), len(new)) - first)
  changed = max(len(old), len(new)) - first - last
  if changed <= _MAX_COMPARED_LINES:
    return list(difflib.unified_diff(old, new, n=context, lineterm=''))[2:]
  before, after = max(0, first - context), max(0, last - context)
  old_part, new_part = old[before : len(old) - after], new[before : len(new) - after]
  top, bottom = first - before, last - after
  return [
    f'@@ -{before + 1},{len(old_part)} +{before + 1},{len(new_part)} @@',
    *[' ' + line for line in old_part[:top]],
    *['-' + line for line in old_part[top : len(old_part) - bottom]],
    *['+' + line for line in new_part[top : len(new_part) - bottom]],
    *[' ' + line for line in old_part[len(old_part) - bottom :]],
  ]


def _lines(text: str) -> list[str]:
  """Lines by newline alone, as git counts them; the last may lack its own."""
  lines = text.split('\n')
  return lines[:-1] if lines[-1] == '' else [*lines[:-1], lines[-1] + '\n\\ No newline at end of file']


def _common(left: Sequence[str], right: Sequence[str]) -> int:
  """How many lines are the same from the beginning."""
  return len(os.path.commonprefix([left, right]))
