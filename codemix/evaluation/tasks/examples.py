"""Which items are asked, and the examples before each question."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Sequence

from codemix.errors import UserError
from codemix.evaluation.tasks.item import Item
from codemix.identity import digest

BETWEEN = '\n\n'  # of an example and what follows it


def chosen(items: Sequence[Item], limit: int | None) -> list[Item]:
  """The items of the lowest digests, in their order; a higher limit adds items, whatever the order of the file."""
  if limit is None or limit >= len(items):
    return list(items)
  kept = sorted(range(len(items)), key=lambda at: digest(_question(items[at])))[:limit]
  return [items[at] for at in sorted(kept)]


def with_examples(items: Sequence[Item], pool: Sequence[Item], shots: int, seed: int, task: str) -> list[Item]:
  """The items with `shots` solved examples before each prompt.

  The examples of an item depend on the seed and the item only, are of its topic, and never contain its own question.

  Raises UserError if the pool has too few items.
  """
  if not shots:
    return list(items)
  pool = sorted(pool, key=_question)  # whatever the order of the file
  by_topic = {topic: [example for example in pool if topic in ('', example.topic)] for topic in {item.topic for item in items}}
  asked = {topic: collections.Counter(map(_question, found)) for topic, found in by_topic.items()}
  return [_with_examples(item, by_topic[item.topic], shots, asked[item.topic][_question(item)], seed, task) for item in items]


def _question(item: Item) -> tuple[str, tuple[str, ...]]:
  """What an item asks, which is the same wherever it was read."""
  return item.prompt, item.choices


def _with_examples(item: Item, pool: Sequence[Item], shots: int, own: int, seed: int, task: str) -> Item:
  """`own`: items of the pool that ask the same, which are passed over."""
  if len(pool) - own < shots:
    of = f' of the topic {item.topic}' if item.topic else ''
    raise UserError(f"task '{task}': {shots} examples are asked for, and the set to draw them from has {len(pool) - own} other items{of}.")
  drawn = random.Random(digest([seed, *_question(item)])).sample(pool, shots + own)
  shown = [example for example in drawn if _question(example) != _question(item)][:shots]
  before = ''.join(solved(example) + BETWEEN for example in shown)
  return dataclasses.replace(item, prompt=before + item.prompt, prompts=tuple(before + prompt for prompt in item.prompts))


def solved(item: Item) -> str:
  """An item with its right answer."""
  if not item.choices:
    return item.prompt + (item.reference or f' {item.answers[0]}')
  gold = item.gold[0]
  return (item.prompts[gold] if item.prompts else item.prompt) + item.choices[gold]


def reference(item: Item) -> tuple[str, str]:
  """(prompt, continuation) of the right answer, whose bits per byte are reported."""
  if not item.choices:
    return item.prompt, item.reference or (f' {item.answers[0]}' if item.answers else '')
  gold = item.gold[0]
  return (item.prompts[gold] if item.prompts else item.prompt), item.reference or item.choices[gold]


def scored_bytes(prompt: str, continuation: str) -> int:
  """UTF-8 bytes that the nats of a continuation are of: white space at the end of the prompt is scored with it."""
  return len(prompt[len(prompt.rstrip()) :].encode()) + len(continuation.encode())
