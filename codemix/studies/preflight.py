"""Checks everything that can be wrong with a study before its first step, for all verbs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import jax
from jax.sharding import Mesh

from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.evaluation.evaluator import Evaluator
from codemix.evaluation.held_out import HeldOut, choose
from codemix.evaluation.tasks.coding import CodingEvaluator
from codemix.storage import as_path, is_remote, require_unlocked, require_writable
from codemix.studies.planning import StudyPlan, plan_study, scored_names
from codemix.studies.recipe import Study
from codemix.training.preflight import check_layout
from codemix.training.runtime import Runtime
from codemix.training.stage import TRAINING, StagePlan, is_done, stage_folder
from codemix.training.train_state import state_bytes


@dataclasses.dataclass(frozen=True)
class Ready:
  """A study that has passed every check.

  Attributes:
    plan: every stage decided.
    validation: what is scored of each source of `scored_names`.
    tasks: the evaluators of the study's benchmarks, with their items.
  """

  plan: StudyPlan
  validation: Mapping[str, HeldOut]
  tasks: Sequence[Evaluator] = ()


def preflight(study: Study, data: Data, runtime: Runtime, mesh: Mesh, *, keep_folders: bool = True) -> Ready:
  """Checks all that training a study needs: devices, output, sources, schedules, room.

  Everything must be prepared. `codemix train` and `codemix study` begin with it, and
  `codemix inspect` calls it before it shows the plan, so all of them refuse the same studies with
  the same messages. Raises UserError for the first thing that would stop the study.

  Args:
    keep_folders: False removes the output folder again if this call made it.
  """
  check_machine(study, runtime, mesh, keep_folders)
  ready = open_study(study, data)
  check_starts_whole(ready.plan, runtime)
  checkpoint_bytes = max(state_bytes(r.model, r.optimizer) for r in study.recipes.values())
  check_room(ready.plan, runtime, checkpoint_bytes, keep_folders)
  return ready


def open_study(study: Study, data: Data) -> Ready:
  """Plans a study and opens what it is scored on.

  Raises UserError if something is not prepared or the plan makes no sense.
  """
  plan = plan_study(study, data)
  stores = {name: data.open_store(name, 'validation', plan.tokenizer) for name in scored_names(plan.study)}
  chosen = {name: choose(name, store, study.validation_documents) for name, store in stores.items()}
  for name, held_out in chosen.items():
    if not held_out.store.document_bytes[held_out.documents].any():
      raise UserError(f"'{name}' (validation) holds no text, so that no model can be scored on it. Take it out of Study.validation.")
  tasks = study.evaluation.evaluators() if study.evaluation else []
  for task in tasks:
    if isinstance(task, CodingEvaluator):
      task.check_machine()
  return Ready(plan, chosen, tasks)


def check_starts_whole(plan: StudyPlan, runtime: Runtime) -> None:
  """Reads the checkpoints of the starts that are still to be restored. Raises UserError if one is damaged."""
  starts = {p.start.folder: p.start for p in plan.stages() if p.start and not is_done(runtime.output, p)}
  if starts:
    from codemix.training.start_state import require_whole  # imports Orbax

    for start in starts.values():
      require_whole(start)


def check_unlocked(stages: Iterable[StagePlan], runtime: Runtime) -> None:
  """Checks that no other process trains one of these stages now.

  Raises UserError if one does, naming the stage's folder.
  """
  if jax.process_index():
    return  # process 0 alone takes the locks
  for stage_plan in stages:
    if not is_done(runtime.output, stage_plan):
      require_unlocked(stage_folder(runtime.output, stage_plan), TRAINING)


def check_machine(study: Study, runtime: Runtime, mesh: Mesh, keep_folders: bool = True) -> None:
  """Checks that every stage can be laid out on the devices, and that results can be written.

  It reads no data, so that it can come before they are prepared, which can take a day.
  Raises UserError, naming the stage or folder, and what to change.

  Args:
    keep_folders: as of `preflight`.
  """
  check_layouts(study, runtime, mesh)
  require_writable(as_path(runtime.output), 0, keep_folders)


def check_layouts(study: Study, runtime: Runtime, mesh: Mesh) -> None:
  """Checks that every stage can be laid out on the devices.

  Raises UserError, naming the stage, and what to change.
  """
  for recipe in study.recipes.values():
    for stage in recipe.stages:
      check_layout(recipe.model, stage.batch, recipe.length, mesh, runtime, f"stage '{stage.name}'")


def check_room(plan: StudyPlan, runtime: Runtime, checkpoint_bytes: int, keep_folders: bool = True) -> None:
  """Checks that the disk has room for the checkpoints that are still to be written.

  Raises UserError if it has not, or cannot be written at all.

  Args:
    keep_folders: as of `preflight`.
  """
  if is_remote(runtime.output):
    return require_writable(as_path(runtime.output), 0)
  missing = [p for p in plan.stages() if not is_done(runtime.output, p)]
  # An interrupted run has written some of them.
  written = [c for p in missing for c in stage_folder(runtime.output, p).glob('checkpoints/[0-9]*/')]
  more = max(_checkpoints_at_once(missing, runtime) - len(written), 0)
  require_writable(as_path(runtime.output), checkpoint_bytes * more, keep_folders)


def _checkpoints_at_once(missing: Sequence[StagePlan], runtime: Runtime) -> int:
  """The most checkpoints that are on the disk at a time while these stages are trained."""
  if not missing:
    return 0
  if runtime.keep is None:
    return sum(-(-p.steps // runtime.save_every) for p in missing)
  for_ever = sum(p.steps // runtime.keep_every for p in missing) if runtime.keep_every else 0
  # One of each stage before the last, those that the last one keeps, and one that is being written.
  return len(missing) - 1 + runtime.keep + 1 + for_ever
