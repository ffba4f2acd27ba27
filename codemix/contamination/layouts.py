"""How the evaluation sets lie in the files in which they are distributed: which fields are asked, which answered."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import Name, NotEmpty, checked
from codemix.errors import UserError, nearest

_PLACE = re.compile(r'\{([^{}]+)\}')


@dataclasses.dataclass(frozen=True)
@checked
class ItemLayout:
  """Which fields of a row make the item.

  A field is a dotted path ('question.stem'; a list on the way gives each of its
  entries), or a template of several ('{context} {continuation}').

  Attributes:
    question: what a model is shown, one passage each.
    answer: what it should say, and the choices that it is given.
    context: text that the set took from elsewhere, such as a Wikipedia passage; it is searched for, but does not
      decide whether the item is contaminated.
    id: the field that names an item; '' for the line's number, from 0.
    code: also compared as code without its names.
    blank: a mark that stands for what is left out; passages end there.
  """

  question: Annotated[tuple[Name, ...], NotEmpty()]
  answer: tuple[Name, ...] = ()
  context: tuple[Name, ...] = ()
  id: str = ''
  code: bool = False
  blank: str = ''

  def parts(self) -> dict[str, tuple[str, ...]]:
    return {'question': self.question, 'answer': self.answer, 'context': self.context}

  def passages(self, row: Mapping, part: str) -> list[str]:
    """The texts of one part; none where the row has no such field."""
    texts = [text for field in self.parts()[part] for text in _texts(row, field)]
    return [piece for text in texts for piece in (text.split(self.blank) if self.blank else [text])]

  def fits(self, row: Mapping) -> bool:
    """Whether the row has every field that is named."""
    fields = [field for part in self.parts().values() for field in part]
    return all(_has(row, path) for field in fields for path in (_PLACE.findall(field) or [field]))


_CHOICES = dict(question=('question.stem',), answer=('question.choices.text',), id='id')

# The sets of the study and of its kin; a file is read by the first that fits its fields.
KNOWN: Mapping[str, ItemLayout] = {
  'humaneval': ItemLayout(('prompt',), ('canonical_solution',), id='task_id', code=True),  # and MBXP
  'mbpp': ItemLayout(('text',), ('code',), id='task_id', code=True),
  'cruxeval': ItemLayout(('code',), ('output',), id='id', code=True),
  'qasc': ItemLayout(**_CHOICES, context=('fact1', 'fact2')),
  'arc': ItemLayout(**_CHOICES),  # and OpenBookQA
  'boolq': ItemLayout(('question',), context=('passage',)),
  'piqa': ItemLayout(('goal',), ('sol1', 'sol2'), id='id'),
  'hellaswag': ItemLayout(('ctx',), ('endings',), id='ind'),
  'winogrande': ItemLayout(('sentence',), ('option1', 'option2'), blank='_'),
  'copa': ItemLayout(('premise',), ('choice1', 'choice2'), id='idx'),
  'socialiqa': ItemLayout(('context', 'question'), ('answerA', 'answerB', 'answerC')),
  'truthfulqa': ItemLayout(('Question',), ('Best Answer', 'Correct Answers', 'Incorrect Answers')),
  'lambada': ItemLayout(('{context} {continuation}',)),
  'dolly': ItemLayout(('instruction',), ('response',), context=('context',)),
  'cogs': ItemLayout(('0',), ('1',)),  # a table without a head: columns by number
  'gsm8k': ItemLayout(('question',), ('answer',)),  # and NQ-Open
}


def layout_named(name: str) -> ItemLayout:
  """Raises UserError for a name that is not known."""
  if name not in KNOWN:
    raise UserError(f"no evaluation set is laid out as '{name}'; known are {', '.join(KNOWN)}.{nearest(name, KNOWN)}")
  return KNOWN[name]


def layout_for(row: Mapping, where: str) -> ItemLayout:
  """The layout of a set by the fields of its first row.

  Raises:
    UserError: they are those of no known set.
  """
  for layout in KNOWN.values():
    if layout.fits(row):
      return layout
  raise UserError(
    f"{where} has the fields {', '.join(map(str, row))}, as no known evaluation set has. Say in gin which are asked and "
    "answered: EvaluationSet.layout = @ItemLayout() and ItemLayout.question = ('...',)."
  )


def _has(value: object, path: str) -> bool:
  if isinstance(value, (list, tuple)):
    return bool(value) and _has(value[0], path)
  key, _, rest = path.partition('.')
  return isinstance(value, Mapping) and key in value and (not rest or _has(value[key], rest))


def _texts(row: Mapping, field: str) -> list[str]:
  if '{' in field:
    found = {name: _values(row, name) for name in _PLACE.findall(field)}
    if not all(found.values()):
      return []
    return [_PLACE.sub(lambda place: found[place[1]][0], field)]
  return _values(row, field)


def _values(value: object, path: str) -> list[str]:
  """Each string or number at a dotted path."""
  if isinstance(value, (list, tuple)):
    return [text for entry in value for text in _values(entry, path)]
  if path:
    key, _, rest = path.partition('.')
    return _values(value[key], rest) if isinstance(value, Mapping) and key in value else []
  return [] if value is None or isinstance(value, Mapping) else [str(value)]
