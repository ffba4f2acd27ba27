"""The layout of instruction sets of which a model learns the answers only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import NotEmpty, checked
from codemix.data.corpus.layouts.template import fields_of, fill, require_template
from codemix.data.raw.fields import labels, needed, sets_aside
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record


@dataclasses.dataclass(frozen=True)
@checked
class Instruction(RowParser):
  r"""A document of a prompt, without a loss, and an answer, whose tokens and EOS count in the loss.

  Both are templates as of `Template`: `[[` and `]]` hold what may be missing. Nothing stands between them: white space
  between a prompt and its answer belongs at the beginning of the answer if a token holds both, as in ' {response}', since
  the two are tokenized apart, as they are when a model is asked.

  Raises UserError: a template has no field, or its braces are not closed.

  Attributes:
    prompt: such as '{instruction}[[\n\n{context}]]\n\n'.
    answer: such as '{response}'.
    language: of all documents.
    source, id: fields, as in `Text`.
  """

  stable_name, version = 'instruction', 1
  marks_answers = True

  prompt: Annotated[str, NotEmpty()]
  answer: Annotated[str, NotEmpty()]
  language: str = ''
  source: str | None = None
  id: str | None = None

  def __post_init__(self):
    require_template('Instruction.prompt', self.prompt)
    require_template('Instruction.answer', self.answer)

  def needed_fields(self) -> tuple[str, ...]:
    return needed(*fields_of(self.prompt), *fields_of(self.answer), source=self.source, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    prompt, answer = fill(self.prompt, row), fill(self.answer, row)
    text = prompt + answer
    return Record(text, language=self.language, answers=((len(prompt), len(text)),), **labels(row, source=self.source, id=self.id))
