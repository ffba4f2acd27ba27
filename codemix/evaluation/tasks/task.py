"""What a benchmark is: a set of items, and how a model is scored on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.evaluation.evaluator import Evaluator
from codemix.evaluation.tasks.item import Item
from codemix.models.decoding import Decoding

PREFIX = 'tasks/'  # of the evaluator's name, before the task


@dataclasses.dataclass(frozen=True)
class Settings:
  """How the tasks of one evaluation are run; None leaves what the task itself says.

  Attributes:
    folder: of the evaluation sets.
    shots: examples before each question.
    limit: items at most: those of the lowest digests, so that a higher limit adds items.
    seed: draws the examples, and the random numbers of sampling.
    decoding: of tasks that generate.
    generate_only: stop after generating; programs are not executed and answers not judged.
    completions: path of a file with completions made elsewhere, {'task', 'id', 'completion'} a line.
    unsafe: execute programs without a sandbox.
  """

  folder: EvaluationFolder = EvaluationFolder()
  shots: int | None = None
  limit: int | None = None
  seed: int = 0
  decoding: Decoding | None = None
  generate_only: bool = False
  completions: str | None = None
  unsafe: bool = False


@dataclasses.dataclass(frozen=True)
class Items:
  """The items of a task as they were read.

  Attributes:
    items: in the order of the files.
    data: sha256 of each file by its name, or another digest of what was read.
  """

  items: Sequence[Item]
  data: dict[str, str]


class Task(Protocol):
  """A benchmark.

  Attributes:
    name: such as 'piqa'; letters, digits, '_' and '-'.
    metric: name of the headline score, such as 'accuracy per byte'.
  """

  name: str
  metric: str

  def read(self, folder: EvaluationFolder) -> Items:
    """The items. Raises UserError if a file is missing, damaged or of another form."""

  def evaluator(self, settings: Settings) -> Evaluator:
    """The evaluator of this task, named PREFIX + name (+ '-5shot'); reads the items, so that a missing file is found at once.

    Its `identity` holds 'task', 'metric', 'data', 'prompts' (digest of every prompt and choice), 'items' (their
    number), 'shots' and 'seed' if there are examples, and 'decoding' if it generates.

    Its results have the scores
      score: the headline, 0 to 1 (higher is better), the mean of the items' `correct`; missing if nothing was scored;
      items: their number;
      chance, majority: what guessing and the most frequent answer give, where that is known;
      gold_bits_per_byte: sum of gold_nats / (ln 2 * sum of gold_bytes);
      and every other score of the task by name, such as accuracy_raw, accuracy_per_byte, accuracy_per_token,
      accuracy_pmi, gold_probability, pass_at_1;
    and the items' columns
      id (str), correct (float: headline score of the item), gold_nats (float), gold_bytes (int), and for choices
      nats, unconditional_nats, bytes, tokens (lists, one entry per choice) and gold (list), for generation
      completions (list of str), ended_by (list of str), outcomes (list of str, if they are executed).
    """
