"""Benchmarks of code: completions are executed with their tests, and scored by pass@k."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.tasks.coding_problems import Ends, ProblemSource
from codemix.evaluation.tasks.coding_programs import Build, execute_each
from codemix.evaluation.tasks.completions_file import completions_digest, read_completions
from codemix.evaluation.tasks.examples import chosen, scored_bytes, with_examples
from codemix.evaluation.tasks.free_answer import decoding_of
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.multiple_choice import identity_of_items, stored_name
from codemix.evaluation.tasks.pass_at_k import KS, pass_at_k
from codemix.evaluation.tasks.passages import require_finite
from codemix.evaluation.tasks.task import Items, Settings
from codemix.identity import as_read
from codemix.models.decoding import Decoding
from codemix.sandbox.bubblewrap import bubblewrap_path, require_linux
from codemix.sandbox.execute import execute
from codemix.sandbox.languages import missing_tool
from codemix.terminal import warn_once
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
    items, data = self._all(folder)
    return Items([item for item in items if self.reported(item.id)], data)

  def evaluator(self, settings: Settings) -> CodingEvaluator:
    """The evaluator. Raises UserError if a file is missing or damaged, or the settings do not fit the task."""
    shots = settings.shots or 0
    if shots < 0 or (shots and self.example is None):
      raise UserError(f"task '{self.name}' has no examples to show: leave out shots (it is {settings.shots}).")
    everything, data = self._all(settings.folder)
    reported = [item for item in everything if self.reported(item.id)]
    items = chosen(reported, settings.limit)
    if shots:
      items = with_examples(items, [item for item in everything if self.example(item.id)], shots, settings.seed, self.name)
    decoding = decoding_of(dataclasses.replace(self.decoding, stop=self.ends.stops), settings)
    return CodingEvaluator(self, settings, decoding, tuple(items), tuple(item.id for item in reported), data)

  def _all(self, folder: EvaluationFolder) -> tuple[list[Item], dict[str, str]]:
    found = self.source.read(folder, self.name, self.language)
    return list(found.items), dict(found.data)


@dataclasses.dataclass(frozen=True, eq=False)
class CodingEvaluator:
  """Generates completions of a code benchmark, or reads them from a file, and executes them.

  Attributes:
    task, settings: what it was made of.
    decoding: with the stops.
    items: those that are evaluated.
    known: ids of all items of the reported set.
    data: sha256 of the task's file.
  """

  task: Coding
  settings: Settings
  decoding: Decoding
  items: tuple[Item, ...]
  known: tuple[str, ...]
  data: dict[str, str]
  version: ClassVar[int] = 1  # also of what is cut from a completion (`Ends`) and of the programs

  @property
  def name(self) -> str:
    return stored_name(self.task.name, self.settings.shots or 0)

  @property
  def identity(self) -> dict[str, Any]:
    """Everything that decides the completions and their outcomes."""
    executed = {'generate_only': True} if self.settings.generate_only else {}
    if not self.settings.generate_only and (missing := self._missing()):
      executed['not_run'] = missing  # so that it is done again once the tools are installed
    return {**self._generated, **executed}

  @property
  def _generated(self) -> dict[str, Any]:
    """What decides the completions."""
    shots, seed = self.settings.shots or 0, self.settings.seed
    stated = identity_of_items(self.task.name, self.task.metric, self.data, self.items, shots, seed)
    stated['ends'] = as_read(dataclasses.asdict(self.task.ends))
    if self.settings.completions:
      return stated | {'completions': completions_digest(self.settings.completions)}
    return stated | {'decoding': as_read(dataclasses.asdict(self.decoding))}

  def _missing(self) -> str | None:
    """Why programs of this task cannot run here, such as 'no php'."""
    if self.task.without_sandbox and (missing := _missing_sandbox(self.settings.unsafe)):
      return missing
    return missing_tool(self.task.language) or _missing_package(self.task.language, self.task.needs, self.settings.unsafe)

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Called in all processes; process 0 executes, and the results of the others are empty.

    Raises UserError if programs must be executed and there is no sandbox.
    """
    executes = not self.settings.generate_only and self._missing() is None
    self.check_machine()
    completions, ended_by = self._completions(model, earlier)
    gold_nats, gold_bytes = self._gold(model)
    if jax.process_index():
      return Results()
    items = {
      'id': [item.id for item in self.items],
      'completions': completions,
      'ended_by': ended_by,
      'gold_nats': gold_nats,
      'gold_bytes': gold_bytes,
    }
    scores = {'items': len(self.items), **_gold_score(gold_nats, gold_bytes)}
    if self.settings.generate_only:
      return Results(scores | {'generated_only': 1}, {**items, 'correct': np.full(len(self.items), np.nan)})
    outcomes = self._outcomes(model, completions, ended_by, executes)
    shares = np.array([_share(each) for each in outcomes])
    return Results(scores | _passes(outcomes), {**items, 'outcomes': outcomes, 'correct': shares})

  def check_machine(self) -> None:
    """Raises UserError if programs must be executed and there is no sandbox; called before training and before generating."""
    if not self.settings.generate_only and self._missing() is None:
      require_linux()
      if not self.settings.unsafe:
        bubblewrap_path()

  def _completions(self, model: Model, earlier: StoredResults | None) -> tuple[list[list[str]], list[list[str]]]:
    """(texts, why each ended) of each item: from the file, from earlier results of the same model, or generated."""
    if self.settings.completions:
      texts = read_completions(self.settings.completions, self.task.name, self.known, [item.id for item in self.items])
      return texts, [[''] * len(each) for each in texts]
    if (found := self._stored(earlier)) is not None:
      return found
    prompts, keys = [item.prompt for item in self.items], [item.id for item in self.items]
    total = len(prompts) * self.decoding.samples
    with scoring_progress(model.name, f'{self.task.name} (generation)', total, not jax.process_index(), 'completions') as show:
      made = model.complete(prompts, keys, self.decoding, show)
    return [[one.text for one in each] for each in made], [[one.ended_by for one in each] for each in made]

  def _stored(self, earlier: StoredResults | None) -> tuple[list[list[str]], list[list[str]]] | None:
    """What `generate_only`, or a run without the language's tools, left; None if it is of other prompts or settings."""
    if earlier is None or not as_read({'version': self.version, **self._generated}).items() <= earlier.identity.items():
      return None
    try:
      items = earlier.items()
    except UserError:  # damaged: generated again
      return None
    if not {'id', 'completions', 'ended_by'} <= items.keys() or list(items['id']) != [item.id for item in self.items]:
      return None
    return [list(each) for each in items['completions']], [list(each) for each in items['ended_by']]

  def _gold(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """(nats, bytes) of each reference; NaN and 0 for an item without one."""
    nats, sizes = np.full(len(self.items), np.nan), np.array([_reference_bytes(item) for item in self.items])
    if len(scored := np.flatnonzero(sizes)):
      with scoring_progress(model.name, f'{self.task.name} (references)', len(scored), not jax.process_index(), 'solutions') as show:
        nats[scored] = model.score([(self.items[n].prompt, self.items[n].reference) for n in scored], show).nats
      require_finite(nats[scored], model, self.task.name)
    return nats, sizes

  def _outcomes(self, model: Model, completions: list[list[str]], ended_by: list[list[str]], executes: bool) -> list[list[str]]:
    if not executes:
      return [[NOT_RUN] * len(each) for each in completions]
    programs = [
      self.task.build(item, self.task.ends.cut(text, reason), self.task.language)
      for item, texts, reasons in zip(self.items, completions, ended_by, strict=True)
      for text, reason in zip(texts, reasons, strict=True)
    ]
    with scoring_progress(model.name, f'{self.task.name} (execution)', len(set(programs)), noun='programs') as show:
      outcomes = iter(execute_each(programs, show, self.settings.unsafe))
    return [[next(outcomes).status for _ in texts] for texts in completions]


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


def _reference_bytes(item: Item) -> int:
  """0 for an item without a reference."""
  return scored_bytes(item.prompt, item.reference) if item.reference else 0


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


def _gold_score(nats: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
  scored = sizes > 0
  if not scored.any():
    return {}
  return {'gold_bits_per_byte': float(nats[scored].sum() / (math.log(2) * sizes[scored].sum()))}
