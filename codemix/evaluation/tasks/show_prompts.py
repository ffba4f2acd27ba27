"""What a model is shown: prompts of a task as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codemix.evaluation.tasks.examples import reference
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.multiple_choice import pairs_of


def prompts(items: Sequence[Item], count: int) -> Iterator[str]:
  """The first `count` items, each as a few lines: every prompt and continuation quoted, the right ones marked."""
  for item in items[:count]:
    yield '\n'.join(lines(item))


def lines(item: Item) -> Iterator[str]:
  """The lines of an item."""
  if item.prompts:
    for at, (prompt, choice) in enumerate(pairs_of(item)):
      yield f'{_mark(at in item.gold)} {prompt!r} + {choice!r}'
    return
  if item.prompt:
    yield f'  {item.prompt!r}'
  for at, choice in enumerate(item.choices):
    yield f'{_mark(at in item.gold)} {choice!r}'
  if item.unconditional:
    yield f'  without the question: {item.unconditional!r}'
  if not item.choices:
    yield f'{_mark(True)} {reference(item)[1]!r}'
    others = [answer for answer in item.answers if answer.strip() != reference(item)[1].strip()]
    if others:
      yield f'  or {", ".join(map(repr, others))}'


def _mark(is_right: bool) -> str:
  return '*' if is_right else '-'
