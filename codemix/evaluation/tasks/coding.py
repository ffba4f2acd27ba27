"""Benchmarks of code: completions are executed with their tests, and scored by pass@k."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.coding_problems import Ends, ProblemSource
from codemix.evaluation.tasks.coding_programs import Build, execute_each
from codemix.evaluation.tasks.generating import GeneratingEvaluator, columns_of, decoding_of
from codemix.evaluation.tasks.pass_at_k import KS, pass_at_k
from codemix.evaluation.tasks.task import Items, Settings
from codemix.evaluation.tasks.task_evaluator import ask, gold_bits_per_byte
from codemix.identity import as_read
from codemix.models.decoding import Completion, Decoding
from codemix.sandbox.bubblewrap import bubblewrap_path, require_linux
from codemix.sandbox.execute import execute
from codemix.sandbox.languages import missing_tool
from codemix.terminal import warn_once
from codemix.training.preemption import by_first
from codemix.training.progress import scoring_progress

NOT_RUN = 'not run'


@dataclasses.dataclass(frozen=True)
class Coding:
  """A benchmark whose completions are executed.

  Attributes:
    name: of the task.
    source: its items.
    build: makes a program of an item and a completion.
    ends: where a completion ends.
    decoding: how it is generated, if the settings do not say; the stops are those of `ends`.
    language: of the completions, as `codemix.sandbox.languages` names it.
    reported: whether an item is in the reported set, by its id.
    needs: packages that the tests need: (name, a program that passes where it is installed) each.
    example: whether an item may be an example before others; None if the task has none.
    without_sandbox: whether the task may be asked for where there is no sandbox: then its programs are not run, and
      counted as such, instead of an error.
  """

  name: str
  source: ProblemSource
  build: Build
  ends: Ends
  decoding: Decoding = Decoding(max_new_tokens=512)
  language: str = 'python'
  reported: Callable[[str], bool] = lambda id: True
  example: Callable[[str], bool] | None = None
  needs: tuple[tuple[str, str], ...] = ()
  without_sandbox: bool = False
  metric: ClassVar[str] = 'pass@1'

  def read(self, folder: EvaluationFolder) -> Items:
    """The items of the reported set, in the file's order."""
    return _part(self.source.read(folder, self.name, self.language), self.reported)

  def evaluator(self, settings: Settings) -> CodingEvaluator:
    """The evaluator. Raises UserError if a file is missing or damaged, or the settings do not fit the task."""
    everything = self.source.read(settings.folder, self.name, self.language)
    examples = self.example and functools.partial(_part, everything, self.example)
    asked = ask(self.name, _part(everything, self.reported), settings, examples)
    decoding = decoding_of(dataclasses.replace(self.decoding, stop=self.ends.stops), settings)
    return CodingEvaluator(self, asked, decoding, settings.completions, settings.generate_only, settings.unsafe)


def _part(found: Items, of: Callable[[str], bool]) -> Items:
  """The items with ids of this kind."""
  return Items([item for item in found.items if of(item.id)], found.data)


@dataclasses.dataclass(frozen=True, eq=False)
class CodingEvaluator(GeneratingEvaluator):
  """Generates completions of a code benchmark, or reads them from a file, and executes them.

  Attributes:
    generate_only: stop after generating.
    unsafe: execute programs without a sandbox.
  """

  task: Coding
  generate_only: bool = False
  unsafe: bool = False
  version: ClassVar[int] = 1  # also of what is cut from a completion (`Ends`) and of the programs

  @property
  def identity(self) -> dict[str, Any]:
    """Everything that decides the completions and their outcomes."""
    executed = {'generate_only': True} if self.generate_only else {}
    if not self.generate_only and (missing := self._missing()):
      executed['not_run'] = missing  # so that it is done again once the tools are installed
    return self._generated | executed

  @property
  def _generated(self) -> dict[str, Any]:
    """What decides the completions."""
    return super().identity | {'ends': as_read(dataclasses.asdict(self.task.ends))}

  def _missing(self) -> str | None:
    """Why programs of this task cannot run here, such as 'no php'."""
    if self.task.without_sandbox and (missing := _missing_sandbox(self.unsafe)):
      return missing
    return missing_tool(self.task.language) or _missing_package(self.task.language, self.task.needs, self.unsafe)

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Called in all processes; process 0 executes, and the results of the others are empty.

    Raises UserError if programs must be executed and there is no sandbox, and Preempted as `by_first`.
    """
    executes = not self.generate_only and self._missing() is None
    self.check_machine()
    completions = self._stored(earlier) or self.complete(model)
    nats, sizes = self.gold(model)
    return by_first(lambda: self._results(model, completions, nats, sizes, executes), Results())

  def _results(self, model: Model, completions: Sequence[Sequence[Completion]], nats: np.ndarray, sizes: np.ndarray, executes: bool) -> Results:
    items = {'id': [item.id for item in self.items], 'gold_nats': nats, 'gold_bytes': sizes, **columns_of(completions)}
    scores = {'items': len(self.items), **gold_bits_per_byte(nats, sizes)}
    if self.generate_only:
      return Results(scores | {'generated_only': 1}, {**items, 'correct': np.full(len(self.items), np.nan)})
    outcomes = self._outcomes(model, completions, executes)
    shares = np.array([_share(each) for each in outcomes])
    return Results(scores | _passes(outcomes), {**items, 'outcomes': outcomes, 'correct': shares})

  def check_machine(self) -> None:
    """Raises UserError if programs must be executed and there is no sandbox; called before training and before generating."""
    if not self.generate_only and self._missing() is None:
      require_linux()
      if not self.unsafe:
        bubblewrap_path()

  def _stored(self, earlier: StoredResults | None) -> list[list[Completion]] | None:
    """What `generate_only`, or a run without the language's tools, left; None if it is of other prompts or settings."""
    if earlier is None or not as_read({'version': self.version, **self._generated}).items() <= earlier.identity.items():
      return None
    try:
      items = earlier.items()
    except UserError:  # damaged: generated again
      return None
    if not {'id', 'completions', 'ended_by'} <= items.keys() or list(items['id']) != [item.id for item in self.items]:
      return None
    return [
      [Completion(text, 0, reason) for text, reason in zip(texts, reasons, strict=True)]
      for texts, reasons in zip(items['completions'], items['ended_by'], strict=True)
    ]

  def _outcomes(self, model: Model, completions: Sequence[Sequence[Completion]], executes: bool) -> list[list[str]]:
    if not executes:
      return [[NOT_RUN] * len(each) for each in completions]
    programs = [
      self.task.build(item, self.task.ends.cut(one.text, one.ended_by), self.task.language)
      for item, each in zip(self.items, completions, strict=True)
      for one in each
    ]
    with scoring_progress(model.name, f'{self.task.name} (execution)', len(set(programs)), noun='programs') as show:
      outcomes = iter(execute_each(programs, show, self.unsafe))
    return [[next(outcomes).status for _ in each] for each in completions]


@functools.cache
def _missing_sandbox(unsafe: bool) -> str | None:
  try:
    execute('pass', 'python', unsafe=unsafe)
  except UserError as error:
    warn_once(f'programs are not executed: {error}')
    return 'no sandbox'
  return None


@functools.cache
def _missing_package(language: str, needs: tuple[tuple[str, str], ...], unsafe: bool) -> str | None:
  return next((f'no {name}' for name, program in needs if execute(program, language, unsafe=unsafe).status != 'passed'), None)


def _share(outcomes: Sequence[str]) -> float:
  """The share of an item's samples that passed; NaN if they were not run."""
  return math.nan if NOT_RUN in outcomes else outcomes.count('passed') / len(outcomes)


def _passes(outcomes: Sequence[Sequence[str]]) -> dict[str, float]:
  run = [each for each in outcomes if NOT_RUN not in each]
  scores = {'not_run': len(outcomes) - len(run)}
  if not run:
    return scores
  for k in KS:
    if k <= len(run[0]):
      scores[f'pass_at_{k}'] = math.fsum(pass_at_k(len(each), each.count('passed'), k) for each in run) / len(run)
  flat = [outcome for each in run for outcome in each]
  reasons = {outcome.replace(' ', '_'): flat.count(outcome) for outcome in sorted({*flat} - {'passed'})}
  return {'score': scores['pass_at_1'], **scores, **{f'samples_{reason}': number for reason, number in reasons.items()}}
