"""Which fields of a distributed evaluation set are the question, the answer and the context of an item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import Name, NotEmpty, checked
from codemix.data.evaluation_sets.fields import has, places, texts
from codemix.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
@checked
class ItemLayout:
  """Which fields of a row make the item.

  A field is a dotted path ('question.stem'; a list on the way gives each of its
  entries), or a template of several ('{context} {continuation}').

  Attributes:
    question: what a model is shown; each field is a passage.
    answer: the expected answer and the choices.
    context: text that the set took from elsewhere, such as a Wikipedia passage; it is searched for, but does not
      decide whether the item is contaminated.
    id: the field that names an item; '' for the line's number, from 0.
    code: whether items are also compared as code without names.
    blank: a mark for text that is left out; passages are split there.
    items: if a row has several items, the dotted path of their list, such as 'paragraphs.qas'; fields are
      looked up in the item, and then in the objects around it. '' if a row is an item.
  """

  question: Annotated[tuple[Name, ...], NotEmpty()]
  answer: tuple[Name, ...] = ()
  context: tuple[Name, ...] = ()
  id: str = ''
  code: bool = False
  blank: str = ''
  items: str = ''

  def parts(self) -> dict[str, tuple[str, ...]]:
    return {'question': self.question, 'answer': self.answer, 'context': self.context}

  def passages(self, row: Mapping, part: str) -> list[str]:
    """The texts of one part; [] if the row has no such field."""
    found = [text for field in self.parts()[part] for text in texts(row, field)]
    return [piece for text in found for piece in (text.split(self.blank) if self.blank else [text])]

  def rows(self, row: Mapping) -> list[Mapping]:
    """The items of a row, each with the fields of the objects around it."""
    rows = [row]
    for key in self.items.split('.') if self.items else ():
      rows = [{**outer, **inner} for outer in rows for inner in outer.get(key) or () if isinstance(inner, Mapping)]
    return rows

  def paths(self) -> list[str]:
    """Every field that is named."""
    fields = [field for part in self.parts().values() for field in part]
    return [path for field in fields for path in places(field)]

  def has_any(self, row: Mapping) -> bool:
    """Whether an item has one of the fields, even an empty one."""
    return any(has(row, path) for path in self.paths())


@dataclasses.dataclass(frozen=True)
@checked
class KnownLayout(ItemLayout):
  """The layout of a published set.

  Attributes:
    told_by: the fields that identify the set, if its answers may be withheld; () for all fields.
  """

  told_by: tuple[Name, ...] = ()

  def fits(self, row: Mapping) -> bool:
    return all(has(row, path) for path in self.told_by or self.paths())


_CHOICES = dict(question=('question.stem',), answer=('question.choices.text',), id='id')
_STORY = ('InputSentence1', 'InputSentence2', 'InputSentence3', 'InputSentence4')
_STORY_OF_HUB = ('input_sentence_1', 'input_sentence_2', 'input_sentence_3', 'input_sentence_4')


def _in_a_row(fields: tuple[str, ...]) -> str:
  return ' '.join(f'{{{field}}}' for field in fields)


# The sets of the paper and similar ones, as they were released and, if it differs, as the Hugging Face
# hub has them. A file is read with the first layout that fits its fields.
KNOWN: Mapping[str, KnownLayout] = {
  'humaneval': KnownLayout(('prompt',), ('canonical_solution',), id='task_id', code=True),  # and MBXP
  'mbpp': KnownLayout(('text',), ('code',), id='task_id', code=True),
  'mbpp_sanitized': KnownLayout(('prompt',), ('code',), id='task_id', code=True),
  'cruxeval': KnownLayout(('code',), ('output',), id='id', code=True),
  'qasc': KnownLayout(**_CHOICES, context=('fact1', 'fact2')),
  'qasc_hub': KnownLayout(('question',), ('choices.text',), ('fact1', 'fact2'), 'id'),
  'arc': KnownLayout(**_CHOICES),  # and OpenBookQA
  'openbookqa_hub': KnownLayout(('question_stem',), ('choices.text',), id='id'),
  'arc_hub': KnownLayout(('question',), ('choices.text',), id='id'),
  # The answers of QuAC and SQuAD are spans of the passage, which is from Wikipedia.
  'quac': KnownLayout(
    ('question',), context=('background', 'context'), id='id', items='paragraphs.qas', told_by=('paragraphs.qas.question',)
  ),
  'quac_hub': KnownLayout(('questions',), context=('background', 'context'), id='dialogue_id'),
  'squad_hub': KnownLayout(('question',), context=('context',), id='id', told_by=('question', 'context', 'answers.answer_start')),
  'triviaqa': KnownLayout(('Question',), ('Answer.Value', 'Answer.Aliases'), id='QuestionId', told_by=('Question', 'QuestionId')),
  'triviaqa_hub': KnownLayout(('question',), ('answer.value', 'answer.aliases'), id='question_id', told_by=('question', 'question_id')),
  'sciq': KnownLayout(
    ('question',), ('correct_answer', 'distractor1', 'distractor2', 'distractor3'), ('support',), told_by=('question', 'correct_answer', 'distractor1')
  ),
  'boolq': KnownLayout(('question',), context=('passage',)),
  'piqa': KnownLayout(('goal',), ('sol1', 'sol2'), id='id'),
  'hellaswag': KnownLayout(('ctx',), ('endings',), id='ind'),
  'winogrande': KnownLayout(('sentence',), ('option1', 'option2'), blank='_'),
  'copa': KnownLayout(('premise',), ('choice1', 'choice2'), id='idx'),
  'cb': KnownLayout(('premise', 'hypothesis'), id='idx'),  # and RTE
  'storycloze': KnownLayout(
    (_in_a_row(_STORY),), ('RandomFifthSentenceQuiz1', 'RandomFifthSentenceQuiz2'), id='InputStoryid', told_by=_STORY
  ),
  'storycloze_hub': KnownLayout((_in_a_row(_STORY_OF_HUB),), ('sentence_quiz1', 'sentence_quiz2'), id='story_id', told_by=_STORY_OF_HUB),
  'socialiqa': KnownLayout(('context', 'question'), ('answerA', 'answerB', 'answerC')),
  'truthfulqa': KnownLayout(('Question',), ('Best Answer', 'Correct Answers', 'Incorrect Answers')),
  'truthfulqa_hub': KnownLayout(('question',), ('best_answer', 'correct_answers', 'incorrect_answers')),
  'truthfulqa_choices': KnownLayout(('question',), ('mc1_targets.choices', 'mc2_targets.choices')),
  'mmlu': KnownLayout(('question',), ('choices',)),
  'race': KnownLayout(('question',), ('options',), ('article',)),
  'lambada': KnownLayout(('{context} {continuation}',)),
  'dolly': KnownLayout(('instruction',), ('response',), context=('context',)),
  'cogs': KnownLayout(('0',), ('1',)),  # a table without a head: columns by number
  'gsm8k': KnownLayout(('question',), ('answer',)),  # and NQ-Open
  'text': KnownLayout(('text',)),  # LAMBADA on the hub
}


def layout_named(name: str) -> KnownLayout:
  """Raises UserError if the name is unknown."""
  if name not in KNOWN:
    raise UserError(f"no evaluation set is laid out as '{name}'; known are {', '.join(KNOWN)}.{nearest(name, KNOWN)}")
  return KNOWN[name]


def layout_for(row: Mapping, where: str) -> KnownLayout:
  """The layout of a set with the fields of its first row; raises UserError if no known set has them."""
  for layout in KNOWN.values():
    if layout.fits(row):
      return layout
  raise UserError(
    f"{where} has the fields {', '.join(map(str, row))}, which no known evaluation set has. Set the fields of the question "
    "and the answer in gin: EvaluationSet.layout = @ItemLayout() and ItemLayout.question = ('...',)."
  )


def is_known(row: Mapping) -> bool:
  """Whether `layout_for` has a layout for a row with these fields."""
  return any(layout.fits(row) for layout in KNOWN.values())
