"""What the processes of a run must agree on, compared before they compute together.

Collectives between processes that run different programs hang, or abort without a name. So each process
sends its facts to process 0, which compares them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from codemix.errors import UserError
from codemix.parallel.coordination import decide

SHOWN = 3  # differences that a message lists
SHOWN_PROCESSES = 4
ABSENT = '(nothing)'


def require_agreement(facts: Mapping[str, object], advice: str) -> None:
  """Compares facts that must be the same in all processes; a single process returns at once.

  Raises UserError: in all processes, naming what differs between which of them.

  Args:
    facts: JSON, by name; nested ones are compared leaf by leaf.
    advice: a sentence that says what to change.
  """
  if different := decide(facts, differences):
    more = f'; and {len(different) - SHOWN} more' if different[SHOWN:] else ''
    raise UserError(f'the processes do not agree: {"; ".join(different[:SHOWN])}{more}. {advice}')


def differences(facts: Sequence[Mapping[str, object]]) -> list[str]:
  """For each fact that differs: 'recipes.only.seed is 0 in process 0, and 1 in processes 1 and 2'."""
  flat = [dict(_leaves(mine)) for mine in facts]
  names = dict.fromkeys(name for mine in flat for name in mine)
  return [
    f'{name} is {_values([mine.get(name, ABSENT) for mine in flat])}'
    for name in names
    if len({json.dumps(mine.get(name, ABSENT)) for mine in flat}) > 1
  ]


def _leaves(value: object, path: str = '') -> Iterator[tuple[str, object]]:
  if isinstance(value, Mapping):
    for key, item in value.items():
      yield from _leaves(item, f'{path}.{key}' if path else str(key))
  elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
    yield from _leaves(dict(enumerate(value)), path)
  else:
    yield path, value


def _values(values: Sequence[object]) -> str:
  """Each value with the processes that have it, the most frequent first, so that the odd one stands out."""
  texts = [value if value == ABSENT else repr(value) for value in values]
  return ', and '.join(
    f'{text} in {_processes([number for number, other in enumerate(texts) if other == text])}'
    for text, _ in Counter(texts).most_common()
  )


def _processes(numbers: Sequence[int]) -> str:
  shown = ', '.join(map(str, numbers[:SHOWN_PROCESSES]))
  more = f' and {len(numbers) - SHOWN_PROCESSES} more' if numbers[SHOWN_PROCESSES:] else ''
  return f'process{"es"[: 2 * (len(numbers) > 1)]} {shown}{more}'
