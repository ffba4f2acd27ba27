"""One question of a benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Item:
  """One question, in the form in which a model is asked.

  Attributes:
    id: unique in its task, and independent of which items are left out.
    prompt: what the model is shown, without examples of other items.
    choices: continuations of the prompt, each with the space that divides it from the prompt; () if the
      answer is free.
    gold: numbers of the right choices.
    prompts: the prompt of each choice, if they differ (as in WinoGrande); else ().
    answers: accepted free answers; () if there are choices.
    reference: the right continuation of the prompt, whose bits per byte are reported; for choices, '' means
      the first of `gold`.
    unconditional: the prompt without the question, such as 'Answer:', for the PMI score; '' if there is none.
    topic: if not '', examples before this item are of the same topic, such as a subject of MMLU.
    fields: what the task's own metric needs, such as tests or a category.
  """

  id: str
  prompt: str
  choices: tuple[str, ...] = ()
  gold: tuple[int, ...] = ()
  prompts: tuple[str, ...] = ()
  answers: tuple[str, ...] = ()
  reference: str = ''
  unconditional: str = ''
  topic: str = ''
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
