"""Whether this machine can train a study: its devices and its disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh

from codemix.files import require_writable
from codemix.studies.planning import StudyPlan
from codemix.studies.recipe import Study
from codemix.training.preflight import check_layout
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, is_done, stage_folder


def check_machine(study: Study, runtime: Runtime, mesh: Mesh, keep_folders: bool = True) -> None:
  """Every stage can be laid out on the devices, and results can be written.

  Reads no data, so that it comes before preparing them, which can take a day.

  Args:
    keep_folders: whether the output folder stays where there was none before.

  Raises:
    UserError: naming the stage or folder, and what to change.
  """
  check_layouts(study, runtime, mesh)
  require_writable(Path(runtime.output), 0, keep_folders)


def check_layouts(study: Study, runtime: Runtime, mesh: Mesh) -> None:
  """Every stage can be laid out on the devices.

  Raises:
    UserError: naming the stage, and what to change.
  """
  for recipe in study.recipes.values():
    for stage in recipe.stages:
      check_layout(recipe.model, stage.batch, recipe.length, mesh, runtime, f"stage '{stage.name}'")


def check_room(plan: StudyPlan, runtime: Runtime, checkpoint_bytes: int, keep_folders: bool = True) -> None:
  """The disk has room for the checkpoints that are still to be written.

  Args:
    checkpoint_bytes: of one checkpoint.
    keep_folders: whether the output folder stays where there was none before.

  Raises:
    UserError: it has not, or cannot be written at all.
  """
  missing = [p for p in plan.stages() if not is_done(runtime.output, p)]
  # Those of a run that was interrupted have their place already.
  there = [c for p in missing for c in stage_folder(runtime.output, p).glob('checkpoints/[0-9]*/')]
  more = max(_checkpoints_at_once(missing, runtime) - len(there), 0)
  require_writable(Path(runtime.output), checkpoint_bytes * more, keep_folders)


def _checkpoints_at_once(missing: Sequence[StagePlan], runtime: Runtime) -> int:
  """The most checkpoints that will lie on the disk while these stages are trained."""
  if not missing:
    return 0
  if runtime.keep is None:
    return sum(-(-p.steps // runtime.save_every) for p in missing)
  # The results of all but the last stage, what that one keeps, and one more that is being written.
  return len(missing) - 1 + runtime.keep + 1
