"""What the evaluators of tasks that generate share: the decoding, or a file of completions made elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from codemix.evaluation.model import Model
from codemix.evaluation.tasks.completions_file import completions_digest, read_completions
from codemix.evaluation.tasks.task import Settings
from codemix.evaluation.tasks.task_evaluator import TaskEvaluator
from codemix.identity import as_read
from codemix.models.decoding import Completion, Decoding
from codemix.training.progress import scoring_progress


def decoding_of(own: Decoding, settings: Settings) -> Decoding:
  """A task's decoding with what the settings override; the task's stop texts stay."""
  given = settings.decoding
  if given is None:
    return dataclasses.replace(own, seed=settings.seed)
  return dataclasses.replace(given, stop=given.stop or own.stop, seed=settings.seed)


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratingEvaluator(TaskEvaluator):
  """The evaluator of a task that generates.

  Attributes:
    decoding: how completions are generated, and where those of a file are cut.
    completions: path of a file of completions; None to generate them.
  """

  decoding: Decoding
  completions: str | None = None

  @property
  def identity(self) -> dict[str, Any]:
    """Also what decides the completions."""
    if self.completions is None:
      return super().identity | {'decoding': as_read(dataclasses.asdict(self.decoding))}
    return super().identity | {'completions': completions_digest(self.completions), 'stop': list(self.decoding.stop)}

  def complete(self, model: Model) -> list[list[Completion]]:
    """The completions of each item: those of the file, cut at the first stop text, or the model's.

    Raises UserError as `read_completions` does.
    """
    ids = [item.id for item in self.items]
    if self.completions is not None:
      texts = read_completions(self.completions, self.task.name, self.asked.known, ids)
      return [[_cut(text, self.decoding.stop) for text in of_item] for of_item in texts]
    total = len(ids) * self.decoding.samples
    with scoring_progress(model.name, f'{self.task.name} (generation)', total, not jax.process_index(), 'completions') as show:
      return model.complete([item.prompt for item in self.items], ids, self.decoding, show)


def _cut(text: str, stops: Sequence[str]) -> Completion:
  places = [at for stop in stops if (at := text.find(stop)) >= 0]
  return Completion(text[: min(places)] if places else text, 0, 'stop' if places else '')


def columns_of(completions: Sequence[Sequence[Completion]]) -> dict[str, list[list[str]]]:
  """The items' columns `completions` and `ended_by`."""
  return {
    'completions': [[completion.text for completion in found] for found in completions],
    'ended_by': [[completion.ended_by for completion in found] for found in completions],
  }
