"""Executes units of work one after the other, in each process of the run."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import time
from collections.abc import Mapping, Sequence

import jax
from jax.sharding import Mesh

from codemix.errors import CodemixError, FolderUnavailable, NonFiniteError, PeerEnded, UserError
from codemix.parallel.coordination import barrier
from codemix.studies.failures import forget_failure, keep_failure, read_failures
from codemix.studies.preflight import Ready
from codemix.studies.show import show_stage
from codemix.studies.stage_evaluation import evaluate_stage
from codemix.studies.step_evaluation import evaluate_steps
from codemix.studies.units import Unit, place_of
from codemix.training.loop import Trainer, done_for_all, train_stage
from codemix.training.preemption import stop_if_asked
from codemix.training.runtime import Runtime

_AGREED_S = 60  # within which all processes meet an error that all of them compute

# Stages whose compiled programs stay in memory. JAX keeps those of every stage, of which no other stage makes use: on CPUs the
# 65,530 mappings of a process ran out after 372 stages. To give them up after each stage costs 0.7 s of small programs compiled again.
KEPT = 32
_evaluated = itertools.count(1)  # in this process


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How units ended.

  Attributes:
    failed: the errors of those that failed, by key, in the order in which they were run.
    left_out: keys of those that were not run, with the failed unit that each needs.
  """

  failed: Mapping[str, CodemixError]
  left_out: Mapping[str, str]

  def raise_first(self) -> None:
    """Raises the error of the first unit that failed, if any did."""
    for error in self.failed.values():
      raise error


def run_units(units: Sequence[Unit], ready: Ready, mesh: Mesh, runtime: Runtime, planning_s: float) -> Outcome:
  """Trains and evaluates, in the order of the units; what is done already is not done again.

  A unit that fails for a reason of its own does not end the others: those that need it are left out. Its error is kept in
  the study's folder until it succeeds. A plan exists only of sources that are prepared, so units that prepare have
  nothing to do here.

  Raises CodemixError as `codemix.studies.runner.run_study` does, for everything that is not the fault of one unit.

  Args:
    planning_s: seconds that planning took, which count as time of the first stage that is trained.
  """
  first = not jax.process_index()
  earlier = read_failures(runtime.output) if first else {}
  failed: dict[str, CodemixError] = {}
  left_out: dict[str, str] = {}
  for unit in units:
    stop_if_asked()
    if cause := next((left_out.get(need, need) for need in unit.needs if need in failed or need in left_out), None):
      left_out[unit.key] = cause
      continue
    try:
      if _run_unit(unit, ready, mesh, runtime, planning_s):
        planning_s = 0.0
    except (UserError, NonFiniteError) as error:
      if not is_its_own(error) or not _met_by_all(unit):
        raise
      failed[unit.key] = _without_frames(error)
    if first and unit.key in failed:
      print(f'  {unit.key} failed: {failed[unit.key]}\n  Units that do not need it go on.', file=sys.stderr, flush=True)
      keep_failure(runtime.output, place_of(runtime.output, unit), unit.key, failed[unit.key])
    elif earlier and (place := place_of(runtime.output, unit)) in earlier:
      forget_failure(runtime.output, place)
    if unit.key in failed:
      gc.collect()  # the frames that the error held, and the arrays on the devices in them
  return Outcome(failed, left_out)


def _run_unit(unit: Unit, ready: Ready, mesh: Mesh, runtime: Runtime, planning_s: float) -> bool:
  """Runs a unit unless it is done; returns whether a stage was trained."""
  if unit.kind == 'evaluate':
    evaluate_stage(ready, unit.stage, mesh, runtime)
    if not next(_evaluated) % KEPT:
      jax.clear_caches()
  if unit.kind != 'train':
    return False
  plan = ready.plan
  show_stage(plan, unit.stage, plan.stages().index(unit.stage) + 1, runtime.output)
  if done_for_all(runtime.output, unit.stage):
    return False
  recipe = plan.recipe_of(unit.stage)
  trainer = Trainer(recipe.model, recipe.optimizer, plan.sources_of(unit.stage.length), mesh, runtime, plan.tokenizer.bos_id)
  evaluate = evaluate_steps(ready, unit.stage, mesh, runtime) if unit.stage.stage.evaluate_every else None
  train_stage(trainer, unit.stage, time.monotonic() - planning_s, evaluate)
  return True


def is_its_own(error: CodemixError) -> bool:
  """Whether an error is that of the unit: not of its folder, and with several processes only one that all of them compute.

  A loss that is not finite is computed by all. A damaged checkpoint or a full disk may be seen by one process, while the
  others wait for it in a collective: such an error ends all, as `codemix.parallel.peers` has it.
  """
  if isinstance(error, FolderUnavailable):
    return False
  return jax.process_count() == 1 or isinstance(error, NonFiniteError)


def _met_by_all(unit: Unit) -> bool:
  """Whether every process has met the error of this unit: else they would go on to different units."""
  try:
    barrier(f'failed-{unit.key}', _AGREED_S)
  except PeerEnded:
    return False
  return True


def _without_frames(error: CodemixError) -> CodemixError:
  """The error without the frames that it was raised in: their variables hold a model's state on the devices."""
  error.__cause__ = error.__context__ = None
  return error.with_traceback(None)
