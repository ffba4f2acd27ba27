"""Questions with a free answer: generated, and compared with the accepted answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.completions_file import completions_digest, completions_of
from codemix.evaluation.tasks.examples import chosen, reference, scored_bytes, with_examples
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource
from codemix.evaluation.tasks.multiple_choice import identity_of_items, stored_name
from codemix.evaluation.tasks.passages import require_finite
from codemix.evaluation.tasks.task import Items, Settings
from codemix.identity import as_read, digest
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
    found = self.read(settings.folder)
    items, data = chosen(found.items, settings.limit), dict(found.data)
    shots = settings.shots or 0
    if shots:
      if self.examples is None:
        raise UserError(f"task '{self.name}' has no split to draw examples from; leave --shots out for it.")
      pool = self.examples.read(settings.folder, self.name)
      items, data = with_examples(items, pool.items, shots, settings.seed, self.name), data | dict(pool.data)
    decoding = decoding_of(self.decoding, settings)
    return AnswerScores(self, tuple(items), data, shots, settings.seed, decoding, settings.completions, tuple(item.id for item in found.items))


def decoding_of(own: Decoding, settings: Settings) -> Decoding:
  """A task's decoding with what the settings override; the task's stop texts stay."""
  given = settings.decoding
  if given is None:
    return dataclasses.replace(own, seed=settings.seed)
  return dataclasses.replace(given, stop=given.stop or own.stop, seed=settings.seed)


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerScores:
  """The evaluator of `FreeAnswer`.

  Attributes:
    file: of completions made elsewhere; None to generate them.
    known: ids of all items of the task.
  """

  task: FreeAnswer
  items: Sequence[Item]
  data: Mapping[str, str]
  shots: int
  seed: int
  decoding: Decoding
  completions: str | None = None
  known: tuple[str, ...] = ()
  version: ClassVar[int] = 1

  @property
  def name(self) -> str:
    return stored_name(self.task.name, self.shots)

  @property
  def identity(self) -> dict[str, Any]:
    of_items = identity_of_items(self.task.name, self.task.metric, self.data, self.items, self.shots, self.seed)
    kinds = digest([str(item.fields.get(self.task.kinds, '')) for item in self.items]) if self.task.kinds else ''
    return {
      **of_items,
      **origin_of(self.decoding, self.completions),
      'measures': [*self.task.measures],
      'measures_version': self.task.measures_version,
      **({'kinds': kinds} if kinds else {}),
    }

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Raises NonFiniteError if the score of a reference answer is not finite, and UserError if a file of completions is wrong."""
    completions = completions_of(model, self.task.name, self.items, self.known, self.decoding, self.completions)
    gold = model.score([reference(item) for item in self.items])
    require_finite(gold.nats, model, self.task.name)
    return answer_results(self.task, self.items, completions, gold.nats)


def origin_of(decoding: Decoding, completions: str | None) -> dict[str, Any]:
  """What decides completions: how the model generates them, or the file that they are read from and where they are cut."""
  if completions is None:
    return {'decoding': as_read(dataclasses.asdict(decoding))}
  return {'completions': completions_digest(completions), 'stop': list(decoding.stop)}


def answer_results(
  task: FreeAnswer, items: Sequence[Item], completions: Sequence[Sequence[Completion]], gold_nats: np.ndarray
) -> Results:
  """Scores of completions; with several samples of an item, their mean."""
  values = {
    name: np.asarray([np.mean([measure(completion.text, item) for completion in found]) for item, found in zip(items, completions, strict=True)])
    for name, measure in task.measures.items()
  }
  size = np.asarray([scored_bytes(*reference(item)) for item in items])
  headline = values[task.metric]
  scores = {name: float(value.mean()) for name, value in values.items()} | {
    'score': float(headline.mean()),
    'items': len(items),
    'chance': 0.0,
    'gold_bits_per_byte': math.fsum(gold_nats) / (math.log(2) * int(size.sum())),
  }
  if task.kinds:
    kinds = np.asarray([item.fields.get(task.kinds, '') for item in items])
    scores |= {f'{task.metric}_{kind}': float(headline[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()) - {''})}
  columns = {
    'id': [item.id for item in items], 'correct': headline, 'gold_nats': gold_nats, 'gold_bytes': size,
    'completions': [[completion.text for completion in found] for found in completions],
    'ended_by': [[completion.ended_by for completion in found] for found in completions],
  }  # fmt: skip
  return Results(scores, columns)
