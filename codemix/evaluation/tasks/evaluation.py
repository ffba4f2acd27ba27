"""Which benchmarks a model is evaluated on, and how."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import From, Name, NotEmpty, Seed, checked
from codemix.checked import Path as PathText
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.evaluator import Evaluator
from codemix.evaluation.tasks.coding import Coding
from codemix.evaluation.tasks.free_answer import FreeAnswer
from codemix.evaluation.tasks.instructions import Instructions
from codemix.evaluation.tasks.multiple_choice import MultipleChoice
from codemix.evaluation.tasks.passages import LastWord, Passages
from codemix.evaluation.tasks.registry import select
from codemix.evaluation.tasks.task import Settings, Task
from codemix.models.decoding import Decoding
from codemix.storage import local_path

AnyTask = MultipleChoice | FreeAnswer | Coding | LastWord | Passages | Instructions


@dataclasses.dataclass(frozen=True)
@checked
class Evaluation:
  """Benchmarks, and how they are run; None leaves what a benchmark itself says.

  Attributes:
    tasks: names of tasks and groups (`codemix evaluate --tasks=list` lists them), or tasks of your own.
    directory: of the evaluation sets; None for `$CODEMIX_EVAL_DIR`.
    shots: examples before each question.
    limit: items of each task at most; a higher limit adds items to those of a lower one.
    seed: draws the examples, and the random numbers of sampling.
    decoding: of tasks that generate; a task's own stop texts stay unless it names some.
    generate_only: stop after generating: programs are not executed.
    completions: a file of completions made elsewhere, which are scored instead of the model's.
    unsafe: execute programs without a sandbox, with the rights of this user.
  """

  tasks: Annotated[tuple[Name | AnyTask, ...], NotEmpty()]
  directory: PathText | None = None
  shots: Annotated[int, From(0), 'examples'] | None = None
  limit: Annotated[int, From(1), 'items'] | None = None
  seed: Seed = 0
  decoding: Decoding | None = None
  generate_only: bool = False
  completions: PathText | None = None
  unsafe: bool = False

  def __post_init__(self):
    if self.decoding and self.decoding.seed:
      raise UserError('Decoding.seed has no effect in an Evaluation, which seeds examples and sampling alike: set Evaluation.seed.')
    if self.decoding and self.decoding.samples > 1 and not self.decoding.temperature:
      raise UserError(f'Decoding.samples is {self.decoding.samples}, and greedy samples are equal: set Decoding.temperature (--temperature), such as 0.8.')
    for task in self.selected():
      if self.completions and not isinstance(task, Coding | FreeAnswer | Instructions):
        raise UserError(f"task '{task.name}' is not scored by completions, so Evaluation.completions (--completions) has no effect on it: leave one of them out.")

  def selected(self) -> list[Task]:
    """The tasks. Raises UserError for an unknown name."""
    return select(self.tasks)

  def settings(self) -> Settings:
    return Settings(
      EvaluationFolder(local_path(self.directory, 'Evaluation.directory (--eval_dir)') if self.directory else None),
      self.shots, self.limit, self.seed, self.decoding, self.generate_only, self.completions, self.unsafe,
    )  # fmt: skip

  def evaluators(self) -> list[Evaluator]:
    """The evaluators, with their items read. Raises UserError if a file is missing, damaged or of another form."""
    settings = self.settings()
    return [task.evaluator(settings) for task in self.selected()]
