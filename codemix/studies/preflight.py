"""Everything that can be known to be wrong with a study before its first step: one check for all verbs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
from jax.sharding import Mesh

from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.evaluation.selection import HeldOut, choose
from codemix.files import require_unlocked
from codemix.studies.machine import check_machine, check_room
from codemix.studies.planning import StudyPlan, plan_study, scored_names
from codemix.studies.recipe import Study
from codemix.training.loop import TRAINING
from codemix.training.runtime import Runtime
from codemix.training.stage import is_done, stage_folder
from codemix.training.train_state import state_bytes


@dataclasses.dataclass(frozen=True)
class Ready:
  """A study with nothing left that could be refused before its first step.

  Attributes:
    plan: every stage decided.
    validation: what is scored of each source of `scored_names`.
  """

  plan: StudyPlan
  validation: Mapping[str, HeldOut]


def preflight(study: Study, data: Data, runtime: Runtime, mesh: Mesh, *, keep_folders: bool = True) -> Ready:
  """Checks all that training a study needs: devices, output, sources, schedules, room.

  Everything must be prepared. `codemix train` and `codemix study` begin with it, `codemix inspect`
  shows the plan that it comes to; so what one of them refuses, the others refuse in the same words.

  Args:
    keep_folders: whether the output folder stays where there was none before.

  Raises:
    UserError: the first thing that would stop the study.
  """
  check_machine(study, runtime, mesh, keep_folders)
  ready = open_study(study, data)
  checkpoint_bytes = max(state_bytes(r.model, r.optimizer) for r in study.recipes.values())
  check_room(ready.plan, runtime, checkpoint_bytes, keep_folders)
  return ready


def open_study(study: Study, data: Data) -> Ready:
  """Plans a study and opens what it is scored on.

  Raises:
    UserError: something is not prepared, or the plan makes no sense.
  """
  plan = plan_study(study, data)
  stores = {name: data.open_store(name, 'validation', plan.tokenizer) for name in scored_names(plan.study)}
  for name, store in stores.items():
    if not store.bytes:
      raise UserError(f"'{name}' (validation) holds no text, so that no model can be scored on it. Take it out of Study.validation.")
  return Ready(plan, {name: choose(store, study.validation_documents) for name, store in stores.items()})


def check_unlocked(plan: StudyPlan, runtime: Runtime) -> None:
  """No other process trains a stage that this one would train.

  It is the state of this moment, not of the plan: `codemix inspect` shows the plan first.

  Raises:
    UserError: one does, naming the stage's folder.
  """
  if jax.process_index():
    return  # process 0 alone takes the locks
  for stage_plan in plan.stages():
    if not is_done(runtime.output, stage_plan):
      require_unlocked(stage_folder(runtime.output, stage_plan), TRAINING)
