"""The layout of Stack Exchange: a question and its answers as one document."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import From, Name, checked
from codemix.data.corpus.layouts.html_text import html_to_text
from codemix.data.raw.fields import FieldError, has, label, needed, sets_aside, string, value
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record

_OTHER_LANGUAGES = re.compile(r'(es|ja|pt|ru)\.(?:meta\.)?stackoverflow\b|(rus)\.(?:meta\.)?stackexchange\b')


@dataclasses.dataclass(frozen=True)
@checked
class Question(RowParser):
  """'Q: title, body' and 'A: ...' for each answer, in the order of the row; as `PostsXml` gives them.

  Attributes:
    title: field of the title; '' for none.
    body: field of the question.
    answers: field of a list, of texts or of objects with `answer` and perhaps `score`.
    answer: field of an answer's text in such an object.
    html: the bodies are HTML; only their text is taken, code as it stands.
    min_answers: a question with fewer is left out.
    max_answers: those behind so many are left out; None for no limit.
    min_score: answers with less are left out, where answers have a score; None for no limit.
    source, id: fields of the site and the question's number or URL, as in `Text`.
    language: of all documents; '' for that of the site, which is English but for those of Stack
      Overflow in other languages (`ru.stackoverflow.com`).
  """

  stable_name, version = 'question', 1

  title: str = 'title'
  body: Name = 'body'
  answers: Name = 'answers'
  answer: Name = 'body'
  html: bool = True
  min_answers: Annotated[int, From(0)] = 0
  max_answers: Annotated[int, From(0)] | None = None
  min_score: int | None = None
  source: str | None = 'site'
  id: str | None = None
  language: str = ''

  def needed_fields(self) -> tuple[str, ...]:
    return needed(self.title, self.body, self.answers, source=self.source, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord | None:
    answers = self._answers(row)
    if len(answers) < self.min_answers:
      return None
    title = string(row, self.title) if self.title and has(row, self.title) else ''
    question = '\n\n'.join(part for part in (title, self._text(string(row, self.body))) if part)
    parts = [f'Q: {question}', *answers] if question or answers else []
    source, id = label(row, self.source, 'source'), label(row, self.id, 'id')
    language = self.language or _language_of_site(source)
    return Record('\n\n'.join(parts), source, language, f'{source}/questions/{id}' if id else '')

  def _answers(self, row: Mapping) -> list[str]:
    found = value(row, self.answers)
    if found is None:
      return []
    if not isinstance(found, list):
      raise FieldError(f"no list in '{self.answers}'", f'but {type(found).__name__}')
    texts = [self._text(self._answer(each)) for each in found if self._scores_enough(each)]
    return [f'A: {text}' for text in texts if text][: self.max_answers]

  def _answer(self, answer: object) -> str:
    if isinstance(answer, Mapping):
      return string(answer, self.answer)
    return string({self.answers: answer}, self.answers)

  def _scores_enough(self, answer: object) -> bool:
    score = answer.get('score') if isinstance(answer, Mapping) else None
    return self.min_score is None or not isinstance(score, int | float) or score >= self.min_score

  def _text(self, body: str) -> str:
    return html_to_text(body) if self.html else body.strip()


def _language_of_site(site: str) -> str:
  found = _OTHER_LANGUAGES.match(site)
  return (found[1] or found[2])[:2] if found else 'en'
