"""The layout of instruction and question sets: fields put into a sentence."""

from __future__ import annotations

import dataclasses
import re
import string as strings
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import NotEmpty, checked
from codemix.data.raw.fields import FieldError, has, labels, needed, sets_aside, string, value
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError

_OPTIONAL = re.compile(r'\[\[(.*?)\]\]', re.DOTALL)


@dataclasses.dataclass(frozen=True)
@checked
class Template(RowParser):
  r"""A document made of several fields, such as 'Question: {question}\nAnswer: {answer}'.

  What stands between [[ and ]] is left out where one of its fields is missing or empty:
  '{instruction}[[\n\nContext: {context}]]\n\n{response}'. A list is written line by line. A row
  in which another field is empty or null has nothing to say and is set aside as such.

  Raises UserError: the template has no field, or its braces are not closed.

  Attributes:
    template: text with fields, by dotted path, in braces; {{ and }} are braces themselves.
    language: of all documents.
    source, id: fields, as in `Text`.
  """

  stable_name, version = 'template', 2

  template: Annotated[str, NotEmpty()]
  language: str = ''
  source: str | None = None
  id: str | None = None

  def __post_init__(self):
    require_template('Template.template', self.template)

  def needed_fields(self) -> tuple[str, ...]:
    return needed(*fields_of(self.template), source=self.source, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    return Record(fill(self.template, row), language=self.language, **labels(row, source=self.source, id=self.id))


def require_template(name: str, template: str) -> None:
  """Raises UserError: the template, which is called `name`, has no field, or its braces are not closed."""
  try:
    named = fields_of(template)
  except ValueError as error:
    raise UserError(f'{name} {template!r} is wrong: {error}; a brace itself is written twice') from None
  if not named or '' in named:
    raise UserError(f"{name} {template!r} must name its fields, such as '{{question}}'")


def fields_of(template: str) -> list[str]:
  """The fields that a template names. Raises ValueError: its braces are not closed."""
  return [field for part in _OPTIONAL.split(template) for field in _fields(part)]


def fill(template: str, row: Mapping) -> str:
  """The template with the fields of a row. Raises FieldError: one that it cannot do without is missing or empty."""
  # Split at a pattern with one group: what stands between the brackets is every second part.
  parts = _OPTIONAL.split(template)
  return ''.join(_filled(part, row, optional=bool(index % 2)) for index, part in enumerate(parts))


def _filled(part: str, row: Mapping, optional: bool) -> str:
  """The part with its fields in place; of an optional one '' where a field has nothing."""
  values = {}
  for field in _fields(part):
    text = _text(row, field) if not optional or has(row, field) else ''
    if not text.strip():
      if optional:
        return ''
      raise FieldError(f"empty '{field}'", expected=True)
    values[field] = text
  return ''.join(
    literal + (values[field] if field is not None else '')
    for literal, field, _, _ in strings.Formatter().parse(part)
  )


def _fields(part: str) -> list[str]:
  return [field for _, field, _, _ in strings.Formatter().parse(part) if field is not None]


def _text(row: Mapping, field: str) -> str:
  found = value(row, field)
  if isinstance(found, list):
    return '\n'.join(_text({'': each}, '') for each in found)
  if isinstance(found, int | float):
    return str(found)
  return string(row, field)
