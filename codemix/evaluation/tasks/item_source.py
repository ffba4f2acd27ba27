"""Reads the items of a benchmark from its released files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from codemix.data.evaluation_sets.folder import EvaluationFolder, Wanted
from codemix.errors import UserError
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.task import Items
from codemix.terminal import warn_once

Row = Mapping[str, Any]
Form = Callable[[Row], Item | Iterable[Item] | None]
_OTHER_FORM = (KeyError, TypeError, ValueError, IndexError, AttributeError)  # what reading a row of another form raises


@dataclasses.dataclass(frozen=True)
class ItemSource:
  """A released set, and how a row of it becomes an item.

  Attributes:
    file: the file, or the pattern of files.
    form: an item of a row, without an id; several items, if a row holds several; None to leave the row out. It raises
      KeyError, TypeError, ValueError or IndexError if the row has another form.
    id: field that names a row; '' or a missing field: the row's number, from 0.
    labels: a file with the gold label of each row, a line each, which `form` gets as the field 'label'.
    published: items that upstream publishes; a warning says if there are not as many.
    expand: rows of a row, such as the questions of a dialogue.
    topic: the topic of a row, from its place and its fields; '' for none.
  """

  file: Wanted
  form: Form
  id: str = ''
  labels: Wanted | None = None
  published: int | None = None
  expand: Callable[[Row], Iterable[Row]] = lambda row: (row,)
  topic: Callable[[str, Row], str] = lambda place, row: ''

  def read(self, folder: EvaluationFolder, task: str) -> Items:
    """Raises UserError that names the place, if a file is missing, damaged or of another form."""
    found = folder.rows(self.file, task)
    rows, data = [part for place, row in found.rows for part in self._expanded(place, row, task)], dict(found.data)
    if self.labels and rows and 'label' not in rows[0][1]:
      rows, more = self._with_labels(rows, folder, task)
      data |= more
    items = [item for number, (place, row) in enumerate(rows) for item in self._items(place, number, row, task)]
    if not items:
      raise UserError(f"task '{task}': {', '.join(data)} has no items; restore the file.")
    if self.published and len(items) != self.published:
      warn_once(f"task '{task}': {', '.join(data)} has {len(items):,} items, and upstream publishes {self.published:,}: scores are not comparable with published ones.")
    ids = [item.id for item in items]
    if len(set(ids)) < len(ids):
      items = [dataclasses.replace(item, id=str(number)) for number, item in enumerate(items)]
    return Items(items, data)

  def _expanded(self, place: str, row: Row, task: str) -> Sequence[tuple[str, Row]]:
    try:
      return [(place, part) for part in self.expand(row)]
    except _OTHER_FORM as error:
      raise _of_another_form(task, place, row, error) from None

  def _items(self, place: str, number: int, row: Row, task: str) -> Sequence[Item]:
    try:
      made = self.form(row)
    except _OTHER_FORM as error:
      raise _of_another_form(task, place, row, error) from None
    items = [] if made is None else [made] if isinstance(made, Item) else list(made)
    name = str(row[self.id]) if self.id and row.get(self.id) is not None else str(number)
    topic = self.topic(place, row)
    return [dataclasses.replace(item, id=name if len(items) == 1 else f'{name}.{part}', topic=topic) for part, item in enumerate(items)]

  def _with_labels(self, rows: Sequence[tuple[str, Row]], folder: EvaluationFolder, task: str):
    [(file, text), *_], data = folder.texts(self.labels, task)
    labels = text.split()
    if len(labels) != len(rows):
      raise UserError(f"task '{task}': {file} has {len(labels):,} labels for {len(rows):,} rows.")
    return [(place, {**row, 'label': label}) for (place, row), label in zip(rows, labels, strict=True)], data


def _of_another_form(task: str, place: str, row: Row, error: Exception) -> UserError:
  what = f'lacks the field {error}' if isinstance(error, KeyError) else f'does not have the form of this set ({error})'
  return UserError(f"task '{task}': {place} {what}; its fields are {', '.join(map(str, row))}.")
