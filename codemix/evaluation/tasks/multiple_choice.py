"""Questions with choices, scored by the likelihood of each choice's text."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.examples import scored_bytes
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource
from codemix.evaluation.tasks.task import Items, Settings
from codemix.evaluation.tasks.task_evaluator import (
  TaskEvaluator,
  ask,
  gold_bits_per_byte,
  refuse_completions,
)
from codemix.training.progress import scoring_progress

# What a choice is compared by: its nats, or these divided by its size, or less those without the question.
RAW, PER_BYTE, PER_TOKEN, PMI = 'accuracy_raw', 'accuracy_per_byte', 'accuracy_per_token', 'accuracy_pmi'


@dataclasses.dataclass(frozen=True)
class MultipleChoice:
  """A task of questions with choices.

  Attributes:
    name: of the task.
    source: its items.
    metric: the headline score: RAW, PER_BYTE, PER_TOKEN, PMI, or 'gold_probability' (of all gold choices together).
    examples: where examples are drawn from, as upstream says; None if it offers no other split.
  """

  name: str
  source: ItemSource
  metric: str = RAW
  examples: ItemSource | None = None

  def read(self, folder: EvaluationFolder) -> Items:
    """Raises UserError if a file is missing, damaged or of another form, or an item has no gold choice."""
    found = self.source.read(folder, self.name)
    for item in found.items:
      if not item.gold or not all(0 <= gold < len(item.choices) for gold in item.gold):
        raise UserError(
          f"task '{self.name}': item {item.id} has the choices {list(item.choices)} and the gold choice {list(item.gold)}; is this a split whose answers are published?"
        )
      if not all(choice.strip() for choice in item.choices):
        raise UserError(f"task '{self.name}': item {item.id} has an empty choice: {list(item.choices)}.")
    return found

  def evaluator(self, settings: Settings) -> ChoiceScores:
    """Raises UserError as `read` does, or if examples are asked for that no file offers."""
    refuse_completions(self.name, settings)
    examples = self.examples and functools.partial(self.examples.read, settings.folder, self.name)
    return ChoiceScores(self, ask(self.name, self.read(settings.folder), settings, examples))


@dataclasses.dataclass(frozen=True, eq=False)
class ChoiceScores(TaskEvaluator):
  """The evaluator of `MultipleChoice`."""

  task: MultipleChoice

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Raises NonFiniteError if the score of a choice is not finite."""
    pairs = [(prompt, choice) for item in self.items for prompt, choice in pairs_of(item)]
    bare = [(item.unconditional, choice) for item in self.items if item.unconditional for choice in item.choices]
    asked, shown = [*pairs, *bare], not jax.process_index()
    with scoring_progress(model.name, self.task.name, len(asked), shown, 'choices') as show:
      scores = model.score(asked, show)
    per_item = np.cumsum([len(item.choices) for item in self.items])[:-1]
    nats, tokens = (np.split(values[: len(pairs)], per_item) for values in (scores.nats, scores.tokens))
    sizes = [np.asarray([scored_bytes(*pair) for pair in pairs_of(item)]) for item in self.items]
    without = iter(scores.nats[len(pairs) :].tolist())
    unconditional = [np.asarray([next(without) for _ in item.choices]) if item.unconditional else None for item in self.items]
    return choice_results(self.items, nats, tokens, sizes, unconditional, self.task.metric)


def choice_results(
  items: Sequence[Item],
  nats: Sequence[np.ndarray],
  tokens: Sequence[np.ndarray],
  sizes: Sequence[np.ndarray],
  unconditional: Sequence[np.ndarray | None],
  metric: str,
) -> Results:
  """Scores and items of questions, from the nats, tokens and bytes of each one's choices, float or int [choices]."""
  gold = [_is_gold(item) for item in items]
  rules: dict[str, Callable[[int], np.ndarray]] = {
    RAW: lambda at: nats[at],
    PER_BYTE: lambda at: nats[at] / sizes[at],
    PER_TOKEN: lambda at: nats[at] / np.maximum(tokens[at], 1),
  }
  if all(found is not None for found in unconditional):
    rules[PMI] = lambda at: nats[at] - unconditional[at]
  correct = {name: np.asarray([_share_right(rule(at), gold[at]) for at in range(len(items))]) for name, rule in rules.items()}
  probability: list | np.ndarray = [np.exp(-(n - n.min())) for n in nats]
  probability = np.asarray([float(p[g].sum() / p.sum()) for p, g in zip(probability, gold, strict=True)])
  correct['gold_probability'] = probability
  first = [item.gold[0] for item in items]
  gold_nats = np.asarray([n[at] for n, at in zip(nats, first, strict=True)])
  gold_bytes = np.asarray([s[at] for s, at in zip(sizes, first, strict=True)])
  scores = {name: float(values.mean()) for name, values in correct.items()} | {
    'score': float(correct[metric].mean()),
    'items': len(items),
    'chance': float(np.mean([g.mean() for g in gold])),
    'majority': majority(items),
    **gold_bits_per_byte(gold_nats, gold_bytes),
  }
  columns = {
    'id': [item.id for item in items], 'correct': correct[metric], 'gold_nats': gold_nats, 'gold_bytes': gold_bytes,
    'gold_probability': probability, 'nats': [n.tolist() for n in nats], 'bytes': [s.tolist() for s in sizes],
    'tokens': [t.tolist() for t in tokens], 'gold': [list(item.gold) for item in items],
  }  # fmt: skip
  if PMI in rules:
    columns['unconditional_nats'] = [found.tolist() for found in unconditional]
  return Results(scores, columns)


def _is_gold(item: Item) -> np.ndarray:
  """bool [choices]; a choice with the text of a gold one is as right."""
  texts = pairs_of(item)
  right = {texts[gold] for gold in item.gold}
  return np.asarray([text in right for text in texts])


def _share_right(values: np.ndarray, gold: np.ndarray) -> float:
  """Of the choices with the least value, the share that is right: 0 or 1, unless some are exactly equal."""
  return float(gold[values == values.min()].mean())


def pairs_of(item: Item) -> list[tuple[str, str]]:
  """(prompt, choice) of each choice."""
  return list(zip(item.prompts or [item.prompt] * len(item.choices), item.choices, strict=True))


def majority(items: Sequence[Item]) -> float:
  """The accuracy of always giving the most frequent gold number, or its text where that is more frequent."""
  numbers = collections.Counter(gold for item in items for gold in set(item.gold))
  texts = collections.Counter(text for item in items for text in {item.choices[gold] for gold in item.gold})
  return max([*numbers.values(), *texts.values()]) / len(items)
