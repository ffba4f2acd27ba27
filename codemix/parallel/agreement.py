"""What the processes of a run must agree on: it is compared before they compute together.

Collectives between processes that run different programs hang, or end in an abort, without a name. So
each process reports what it has to the coordination service, process 0 compares, and all get the same answer.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax._src import distributed  # no public way to the coordination service's keys

from codemix.errors import CodemixError, UserError
from codemix.parallel.interruptible import interruptible

TIMEOUT_S = 600
SHOWN = 3  # differences that a message lists
SHOWN_PROCESSES = 4
ABSENT = '(nothing)'

Word = TypeVar('Word')
_rounds = itertools.count()  # all processes come to the same ones in the same order


def decide(mine: object, judge: Callable[[list[Any]], Word]) -> Word:
  """Brings what each process has to process 0, and its word on that to all.

  Args:
    mine: JSON.
    judge: what all have, by number -> the word (JSON); called in process 0 alone.

  Raises:
    CodemixError: a process did not say what it has, within `TIMEOUT_S` seconds.
  """
  client, index = distributed.global_state.client, distributed.global_state.process_id
  if client is None:
    return judge([json.loads(json.dumps(mine))])
  key = f'codemix/decision/{next(_rounds)}'
  wait = lambda name, who: _get(client, f'{key}/{name}', who)
  client.key_value_set(f'{key}/{index}', json.dumps(mine))
  if index == 0:
    theirs = [json.loads(wait(number, number)) for number in range(distributed.global_state.num_processes)]
    client.key_value_set(f'{key}/word', json.dumps(judge(theirs)))
  return json.loads(wait('word', 0))


def require_agreement(facts: Mapping[str, object], advice: str) -> None:
  """Compares facts that must be the same in all processes; alone, returns at once.

  Args:
    facts: JSON, by name; nested ones are compared leaf by leaf.
    advice: a sentence that says what to change.

  Raises:
    UserError: in all processes, naming what differs between which of them.
  """
  if different := decide(facts, _differences):
    more = f'; and {len(different) - SHOWN} more' if different[SHOWN:] else ''
    raise UserError(f'the processes do not agree: {"; ".join(different[:SHOWN])}{more}. {advice}')


def _get(client: Any, key: str, process: int) -> str:
  try:
    return interruptible(lambda: client.blocking_key_value_get(key, TIMEOUT_S * 1000))
  except jax.errors.JaxRuntimeError as error:
    raise CodemixError(f'process {process} did not say what it runs in {TIMEOUT_S} s: see its log.') from error


def _differences(facts: Sequence[Mapping[str, object]]) -> list[str]:
  """'recipes.only.seed is 0 in process 0, and 1 in processes 1 and 2' for each that differs."""
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
  """Each value with the processes that have it; first that of the most, so that the odd one stands out."""
  texts = [value if value == ABSENT else repr(value) for value in values]
  return ', and '.join(
    f'{text} in {_processes([number for number, other in enumerate(texts) if other == text])}'
    for text, _ in Counter(texts).most_common()
  )


def _processes(numbers: Sequence[int]) -> str:
  shown = ', '.join(map(str, numbers[:SHOWN_PROCESSES]))
  more = f' and {len(numbers) - SHOWN_PROCESSES} more' if numbers[SHOWN_PROCESSES:] else ''
  return f'process{"es"[: 2 * (len(numbers) > 1)]} {shown}{more}'
