"""What every evaluation is: a name, an identity, and a function from a model to results."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from codemix.errors import UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults, read_results, write_results
from codemix.identity import as_read
from codemix.parallel.coordination import decide
from codemix.storage import locked, require_writable
from codemix.terminal import warn_once
from codemix.training.goodput import TimeAccount
from codemix.training.preemption import stop_if_asked

EVALUATING = 'evaluating'  # what the process does that holds the lock of a stage's folder


class Evaluator(Protocol):
  """One evaluation of a model: a held-out split, prompts to continue, a benchmark."""

  @property
  def name(self) -> str:
    """What its results are stored under, such as 'held_out/text'; '/' makes folders."""

  @property
  def version(self) -> int:
    """Raised with each change of the code that changes the results of the same identity."""

  @property
  def identity(self) -> dict[str, Any]:
    """Plain data that, together with the checkpoint, decides the results."""

  def run(self, model: Model, earlier: StoredResults | None) -> Results:
    """Evaluates a model; called in all processes.

    Raises NonFiniteError if a score is not finite.

    Args:
      earlier: results of this evaluator on the same checkpoint under another identity, of which a
        part may still hold.
    """


def identity_of(evaluator: Evaluator, model: Model) -> dict[str, Any]:
  """Everything that decides an evaluator's results on a model; equal to what is read from its results."""
  return stored_identity(evaluator, model.checkpoint)


def stored_identity(evaluator: Evaluator, checkpoint: str) -> dict[str, Any]:
  """The same of a checkpoint that is not loaded."""
  return as_read({'checkpoint': checkpoint, 'version': evaluator.version, **evaluator.identity})


def unfinished(
  evaluators: Sequence[Evaluator], stored: Mapping[str, StoredResults], model: Model
) -> list[tuple[Evaluator, StoredResults | None]]:
  """The evaluators without results of this identity, each with reusable ones of another; all processes call it.

  What process 0 finds counts, since it stores the results. Raises UserError if the processes would ask different prompts.

  Args:
    stored: what `read_results` found in the stage's folder.
  """
  of_model = {
    evaluator.name: found
    for evaluator in evaluators
    if (found := stored.get(evaluator.name)) and found.identity.get('checkpoint') == model.checkpoint and _is_whole(found)
  }
  mine = {}  # name -> (whether it is done, digest of its prompts)
  for evaluator in evaluators:
    identity, found = identity_of(evaluator, model), of_model.get(evaluator.name)
    mine[evaluator.name] = found is not None and found.identity == identity, identity.get('prompts')
  # Identities may differ between machines, such as by a toolchain that one lacks, and all must run the same evaluators.
  decided = decide(mine, _decide)
  if decided['differing']:
    raise UserError(f"the processes read different items of '{decided['differing'][0]}': the folder of evaluation sets must be the same for all.")
  return [(evaluator, of_model.get(evaluator.name)) for evaluator in evaluators if evaluator.name in decided['to_run']]


def _is_whole(found: StoredResults) -> bool:
  if not (whole := found.is_whole):
    warn_once(f'{found.path} is missing or damaged: what it holds is evaluated again')
  return whole


def _decide(of_processes: list[dict]) -> dict[str, list[str]]:
  first = of_processes[0]
  return {
    'to_run': [name for name, (is_done, _) in first.items() if not is_done],
    'differing': [name for name, (_, prompts) in first.items() if any(of.get(name, [None, ''])[1] != prompts for of in of_processes)],
  }


def run_evaluators(
  work: Sequence[tuple[Evaluator, StoredResults | None]], model: Model, stage_folder: Path, before_end: bool = False
) -> dict[str, Results]:
  """Runs evaluators one after the other and stores the results of each as soon as it is done.

  Raises NonFiniteError if a score is not finite, and Preempted if the processes are asked to stop.

  Args:
    work: what `unfinished` returned. Every process must have it before this call, in which process
      0 writes.
    before_end: whether the model is that of a checkpoint before the end of the stage.

  Returns:
    The results by the evaluator's name.
  """
  done = {}
  for evaluator, earlier in work:
    done[evaluator.name] = evaluator.run(model, earlier)
    if not jax.process_index():
      results, identity = done[evaluator.name], identity_of(evaluator, model)
      write_results(stage_folder, evaluator.name, model.step, identity, results, before_end)
    stop_if_asked()
  return done


class Found(NamedTuple):
  """What `run_missing` returns.

  Attributes:
    results: of every evaluator by name, of now or of before.
    ran: whether an evaluator ran now.
  """

  results: dict[str, Results | StoredResults]
  ran: bool


def run_missing(evaluators: Sequence[Evaluator], model: Model, folder: Path, before_end: bool = False, alone: bool = False) -> Found:
  """Runs the evaluators that have no results of this model in the stage's folder; all processes call it.

  The time is in the folder's account of time, as 'evaluation', unless a training loop is already counting
  (`before_end`).

  Raises NonFiniteError if a score is not finite, and UserError if the folder cannot be written, stored results are
  damaged, or another process evaluates the stage `alone`, too.

  Args:
    before_end: whether the model is that of a checkpoint before the end of the stage.
    alone: locks the stage's folder while evaluators run, as training it does.
  """
  stored = dict(read_results(folder, model.step if before_end else None))
  work = unfinished(evaluators, stored, model)
  if not work:
    return Found(stored, False)
  first = not jax.process_index()
  if first:
    require_writable(folder, 0)
  with (
    locked(folder, EVALUATING) if first and alone else contextlib.nullcontext(),
    contextlib.nullcontext() if before_end else TimeAccount(folder if first else None, 'evaluation', devices=model.mesh.size),
  ):
    return Found(stored | run_evaluators(work, model, folder, before_end), True)
