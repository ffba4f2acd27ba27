"""Benchmarks of a user's own, described by templates: in gin a few lines each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from codemix.checked import Name, NotEmpty, checked
from codemix.checked import Path as PathText
from codemix.data.evaluation_sets.fields import places, texts, values
from codemix.data.evaluation_sets.folder import Wanted
from codemix.errors import UserError
from codemix.evaluation.tasks import answers
from codemix.evaluation.tasks.free_answer import FreeAnswer
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import Form, ItemSource, Row
from codemix.evaluation.tasks.multiple_choice import PER_BYTE, PER_TOKEN, RAW, MultipleChoice
from codemix.evaluation.tasks.passages import Passages
from codemix.models.decoding import Decoding

Files = Annotated[PathText, NotEmpty(), 'file'] | Annotated[tuple[Annotated[PathText, NotEmpty(), 'file'], ...], NotEmpty()]
Template = Annotated[str, NotEmpty(), 'template']


@checked
def choice_task(
  name: Name,
  files: Files,
  prompt: Template,
  choices: Template | Annotated[tuple[Template, ...], NotEmpty()],
  gold: Template,
  metric: Literal[RAW, PER_BYTE, PER_TOKEN] = PER_BYTE,
  examples: Files | None = None,
  id: str = '',
  unconditional: str = '',
) -> MultipleChoice:
  """A benchmark with choices, from the rows of a file (JSON lines, JSON, CSV, TSV with a head, parquet).

  Templates name fields of a row in braces, such as 'The capital of {country} is'; a field may be a dotted path.

  Args:
    name: of the task.
    files: paths, absolute or relative to the folder of evaluation sets or the working folder; the first that exists.
    prompt: template of what the model is shown.
    choices: templates of the choices, or the path of a list that has them. A space divides each from the prompt.
    gold: template of the right choice: its text, its number from 0, or its letter from A.
    metric: the headline score.
    examples: files of the rows that examples are drawn from.
    id: field that names a row; '' for its number.
    unconditional: prompt without the question, such as 'Answer:', for the PMI score.
  """

  _require_field(prompt, name)

  def form(row: Row) -> Item:
    found = texts(row, choices) if isinstance(choices, str) else [_one(row, choice) for choice in choices]
    if not found:
      raise KeyError(choices)
    right = _number_of(_one(row, gold), found)
    shown = tuple(choice if choice[:1].isspace() else f' {choice}' for choice in found)
    return Item('', _one(row, prompt), shown, (right,), unconditional=unconditional)

  return MultipleChoice(name, _source(files, form, id), metric, _source(examples, form, id) if examples else None)


MEASURES: dict[str, Callable] = {'exact_match': answers.exact_match, 'same_text': answers.same_text, 'last_number': answers.last_number}


@checked
def answer_task(
  name: Name,
  files: Files,
  prompt: Template,
  answer: Template,
  measure: Literal['exact_match', 'same_text', 'last_number'] = 'exact_match',
  decoding: Decoding | None = None,
  examples: Files | None = None,
  id: str = '',
) -> FreeAnswer:
  """A benchmark with free answers.

  Args:
    answer: template of the right answer, or the path of a list of accepted ones.
    measure: 'exact_match' (after SQuAD's normalisation), 'same_text', or 'last_number'.
    decoding: None: 32 tokens at most, to the end of the line.
    name, files, prompt, examples, id: as of `choice_task`.
  """

  _require_field(prompt, name)

  def form(row: Row) -> Item:
    accepted = texts(row, answer)
    if not accepted:
      raise KeyError(answer)
    return Item('', _one(row, prompt), answers=tuple(accepted), reference=f' {accepted[0]}')

  own = decoding or Decoding(max_new_tokens=32, stop=('\n',))
  return FreeAnswer(name, _source(files, form, id), {measure: MEASURES[measure]}, own, _source(examples, form, id) if examples else None)


@checked
def text_task(name: Name, files: Files, domain: str = '') -> Passages:
  """Held-out text as a benchmark: bits per byte, of each domain too, and perplexity by word.

  Args:
    name: of the task.
    files: as of `choice_task`; plain text (.txt), or rows with a field 'text'.
    domain: field that names the domain of a row.
  """
  return Passages(name, _wanted(files), domain)


def _require_field(prompt: str, name: str) -> None:
  if '{' not in prompt:
    raise UserError(f"task '{name}': its prompt {prompt!r} names no field, so that all items would be asked the same. Write a field in braces, such as '{{question}}'.")
  if not re.search(r'\{[^{}]+\}', prompt):
    raise UserError(f"task '{name}': no field of its prompt {prompt!r} is closed. Write a field in braces, such as '{{question}}'.")


def _source(files: Files, form: Form, id: str) -> ItemSource:
  return ItemSource(_wanted(files), form, id)


def _wanted(files: Files) -> Wanted:
  return Wanted((files,) if isinstance(files, str) else files, '', tsv_head=True)


def _one(row: Row, template: str) -> str:
  found = texts(row, template) if '{' in template else [template]
  if not found:
    raise KeyError(next(path for path in places(template) if not values(row, path)))
  return found[0]


def _number_of(gold: str, choices: list[str]) -> int:
  """The number of the right choice, by its text, its number or its letter."""
  if gold.strip() in (stripped := [choice.strip() for choice in choices]):
    return stripped.index(gold.strip())
  if gold.strip().isdecimal() and int(gold) < len(choices):
    return int(gold)
  if len(letter := gold.strip().upper()) == 1 and 0 <= (number := ord(letter) - ord('A')) < len(choices):
    return number
  raise ValueError(f'the gold {gold!r} is neither the text, nor the number, nor the letter of one of its {len(choices)} choices')
