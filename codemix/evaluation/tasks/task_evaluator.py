"""What the evaluators of all tasks share: the items that are asked, a name, and an identity."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.statistics import bits_per_byte
from codemix.evaluation.tasks.examples import chosen, reference, scored_bytes, with_examples
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.task import PREFIX, Items, Settings, Task
from codemix.identity import digest
from codemix.training.progress import scoring_progress


@dataclasses.dataclass(frozen=True)
class Asked:
  """The items of one evaluation.

  Attributes:
    items: with the examples before each prompt.
    known: ids of all items of the task.
    data: sha256 of each file that was read, by its name.
    shots: examples before each question.
    seed: that drew them.
  """

  items: tuple[Item, ...]
  known: tuple[str, ...]
  data: Mapping[str, str]
  shots: int
  seed: int


def ask(task: str, found: Items, settings: Settings, examples: Callable[[], Items] | None = None) -> Asked:
  """Chooses the items, and puts examples before them.

  Raises UserError if examples are asked for, and the task has none or too few.

  Args:
    task: its name.
    found: all its items.
    examples: reads the items that examples are drawn from; None if the task has none.
  """
  items, data, shots = chosen(found.items, settings.limit), found.data, settings.shots or 0
  if shots:
    if examples is None:
      raise UserError(f"task '{task}' has no examples: there is no split to draw examples from. Leave --shots out for it.")
    pool = examples()
    items, data = with_examples(items, pool.items, shots, settings.seed, task), data | pool.data
  return Asked(tuple(items), tuple(item.id for item in found.items), data, shots, settings.seed)


def refuse_completions(task: str, settings: Settings) -> None:
  """Raises UserError if completions of a file are to be scored, by a task that scores likelihoods."""
  if settings.completions is not None:
    raise UserError(f"task '{task}' is scored by likelihoods, so --completions does not fit it; name tasks that generate, such as humaneval.")


def stored_name(task: str, shots: int | None) -> str:
  """The name of a task's evaluator, under which its results are stored."""
  return f'{PREFIX}{task}' + (f'-{shots}shot' if shots else '')


@dataclasses.dataclass(frozen=True, eq=False)
class TaskEvaluator:
  """The evaluator of a task's items."""

  task: Task
  asked: Asked
  version: ClassVar[int] = 1

  @property
  def items(self) -> Sequence[Item]:
    return self.asked.items

  @property
  def name(self) -> str:
    return stored_name(self.task.name, self.asked.shots)

  @property
  def identity(self) -> dict[str, Any]:
    """All texts that a model is shown, and the answers."""
    asked = self.asked
    drawn = {'shots': asked.shots, 'seed': asked.seed} if asked.shots else {}
    return {
      'task': self.task.name,
      'metric': self.task.metric,
      'data': dict(asked.data),
      'prompts': self._prompts,
      'items': len(asked.items),
      **drawn,
    }

  @functools.cached_property
  def _prompts(self) -> str:
    """Digest of every prompt, choice and answer; computed once, since a watcher asks for it at every look."""
    return digest(
      [
        [item.id, item.prompt, *item.prompts, *item.choices, *item.answers, item.unconditional, list(reference(item)), list(item.gold)]
        for item in self.items
      ]
    )

  def gold(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """(nats, bytes) of each item's reference, float64 and int64 [items]; NaN and 0 for an item without one.

    Raises NonFiniteError if a score is not finite.
    """
    pairs = [reference(item) for item in self.items]
    sizes = np.array([scored_bytes(*pair) if pair[1] else 0 for pair in pairs])
    nats = np.full(len(pairs), np.nan)
    if len(scored := np.flatnonzero(sizes)):
      shown = not jax.process_index()
      with scoring_progress(model.name, f'{self.task.name} (references)', len(scored), shown, 'references') as show:
        nats[scored] = model.score([pairs[number] for number in scored], show).nats
    return nats, sizes


def gold_bits_per_byte(nats: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
  """The score of this name, over the items that have a reference; nothing if none has."""
  scored = sizes > 0
  return {'gold_bits_per_byte': bits_per_byte(nats[scored], sizes[scored])} if scored.any() else {}
