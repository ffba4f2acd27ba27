"""Questions with a free answer: generated, and compared with the accepted answers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.generating import GeneratingEvaluator, columns_of, decoding_of
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource
from codemix.evaluation.tasks.task import Items, Settings
from codemix.evaluation.tasks.task_evaluator import ask, gold_bits_per_byte
from codemix.identity import digest
from codemix.models.decoding import Completion, Decoding

Measure = Callable[[str, Item], float]  # (completion, item) -> 0 to 1


@dataclasses.dataclass(frozen=True)
class FreeAnswer:
  """A task whose answers are generated.

  Attributes:
    name: of the task.
    source: its items.
    measures: scores by name, each of a completion; the first is the headline.
    decoding: how answers are generated.
    examples: where examples are drawn from, as upstream says; None if it offers no other split.
    measures_version: raised with each change of the measures.
    kinds: field of `Item.fields` whose values get a score of their own, such as a split of generalisation.
  """

  name: str
  source: ItemSource
  measures: Mapping[str, Measure]
  decoding: Decoding
  examples: ItemSource | None = None
  measures_version: int = 1
  kinds: str = ''

  @property
  def metric(self) -> str:
    return next(iter(self.measures))

  def read(self, folder: EvaluationFolder) -> Items:
    """Raises UserError if a file is missing, damaged or of another form, or an item has no answer."""
    found = self.source.read(folder, self.name)
    for item in found.items:
      if not item.answers or not any(answer.strip() for answer in item.answers):
        raise UserError(f"task '{self.name}': item {item.id} has no answer; is this a split whose answers are published?")
    return found

  def evaluator(self, settings: Settings) -> AnswerScores:
    """Raises UserError as `read` does, or if examples are asked for that no file offers."""
    examples = self.examples and functools.partial(self.examples.read, settings.folder, self.name)
    asked = ask(self.name, self.read(settings.folder), settings, examples)
    return AnswerScores(self, asked, decoding_of(self.decoding, settings), settings.completions)


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerScores(GeneratingEvaluator):
  """The evaluator of `FreeAnswer`."""

  task: FreeAnswer

  @property
  def identity(self) -> dict[str, Any]:
    measures = {'measures': [*self.task.measures], 'measures_version': self.task.measures_version}
    kinds = {'kinds': digest([str(item.fields.get(self.task.kinds, '')) for item in self.items])} if self.task.kinds else {}
    return super().identity | measures | kinds

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Raises NonFiniteError if the score of a reference answer is not finite, and UserError if a file of completions is wrong."""
    completions = self.complete(model)
    return answer_results(self.task, self.items, completions, *self.gold(model))


def answer_results(
  task: FreeAnswer, items: Sequence[Item], completions: Sequence[Sequence[Completion]], gold_nats: np.ndarray, gold_bytes: np.ndarray
) -> Results:
  """Scores of completions; with several samples of an item, their mean."""
  values = {
    name: np.asarray([np.mean([measure(completion.text, item) for completion in found]) for item, found in zip(items, completions, strict=True)])
    for name, measure in task.measures.items()
  }
  headline = values[task.metric]
  scores = {name: float(value.mean()) for name, value in values.items()} | {
    'score': float(headline.mean()),
    'items': len(items),
    'chance': 0.0,
    **gold_bits_per_byte(gold_nats, gold_bytes),
  }
  if task.kinds:
    kinds = np.asarray([item.fields.get(task.kinds, '') for item in items])
    scores |= {f'{task.metric}_{kind}': float(headline[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()) - {''})}
  columns = {'id': [item.id for item in items], 'correct': headline, 'gold_nats': gold_nats, 'gold_bytes': gold_bytes}
  return Results(scores, columns | columns_of(completions))
