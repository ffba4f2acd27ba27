"""Runs a study: plans it, trains each stage once, evaluates each stage."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from jax.sharding import Mesh

from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.evaluation.results import SAMPLES
from codemix.identity import as_read
from codemix.numerics import pinned
from codemix.parallel import watchdog
from codemix.parallel.coordination import barrier
from codemix.parallel.first_collective import first_collective, start_line
from codemix.parallel.mesh import make_mesh
from codemix.storage import as_path, read_json, write_json, write_text
from codemix.studies import provenance
from codemix.studies.claim_record import claim_records, register_claims
from codemix.studies.consistency import require_same_data, require_same_settings
from codemix.studies.load_stage import keep_tokenizer
from codemix.studies.outline import planned_outlines
from codemix.studies.planning import scored_names
from codemix.studies.preflight import (
  Ready,
  check_layouts,
  check_machine,
  check_unlocked,
  open_study,
  preflight,
)
from codemix.studies.recipe import Study
from codemix.studies.serial import Outcome, run_units
from codemix.studies.show import show_plan
from codemix.studies.stage_evaluation import evaluate_stage
from codemix.studies.stage_names import find_stages
from codemix.studies.study_judging import judge_study
from codemix.studies.study_record import CONFIG, arm_digest, keep_former
from codemix.studies.units import Unit, find_units, units
from codemix.training.loop import BARRIER_TIMEOUT_S, done_for_all
from codemix.training.preemption import stopping_at_once
from codemix.training.runtime import Runtime
from codemix.training.stage import stage_folder


def run_study(study: Study, data: Data, runtime: Runtime, command: str = '') -> Path:
  """Trains and evaluates every stage of every recipe, each shared beginning once.

  Everything must be prepared. After an interruption the same call continues
  where the study was; a finished study takes seconds. If a stage fails in training or evaluation for a reason of its
  own, such as a loss that is not finite, the stages that begin with it are left out, all others are trained and
  evaluated, and then its error is raised. The same call tries it again.

  Args:
    command: the command line, kept in the study's provenance.

  Returns:
    The output folder, with `study.json`.

  Raises:
    UserError: something that the user can fix, such as an output folder in which another
      process trains, or processes that were started with different settings.
    NonFiniteError: a loss or a gradient is not finite; nothing after the last checkpoint is kept.
    Preempted: SIGTERM arrived; the run was saved, and the same call continues from there.
    PeerEnded: another process does not come to where the others wait; if all stand still, the process exits with its code.
    CodemixError: the base class of these errors, and of other expected failures.
  """
  try_study(study, data, runtime, command).raise_first()
  return as_path(runtime.output)


@pinned()
def try_study(study: Study, data: Data, runtime: Runtime, command: str = '', wanted: Sequence[str] = (), config: str = '') -> Outcome:
  """`run_study` that returns the errors of failed units, and raises all others.

  Args:
    wanted: names of units (`find_units`), of which those that are not done are run; nobody is asked to judge, and no plan is
      shown. Empty for all units. Raises UserError if one needs another that is neither done nor named.
    config: the text of a gin file of all three, which is kept beside `study.json`; '' if there is none.
  """
  with watchdog.watched(runtime.stuck_after):
    return _run_study(study, data, runtime, command, wanted, config)


@pinned()
def try_pilot(study: Study, pilot: Study, data: Data, runtime: Runtime, command: str = '', config: str = '') -> tuple[Outcome, dict]:
  """Runs the units of a pilot (`codemix.studies.pilot`), after the whole study was planned, its claims registered and `study.json` written.

  So claims are registered before the pilot's results can be seen. Raises as `try_study`.

  Returns:
    How the units ended, and the pilot as `describe_study` describes a study.
  """
  with watchdog.watched(runtime.stuck_after):
    began = time.monotonic()
    mesh, ready = _ready(study, data, runtime)
    runs = preflight(pilot, data, runtime, mesh)
    require_same_data(runs.plan, {name: held_out.store for name, held_out in runs.validation.items()})
    work = units(runs.plan)
    check_unlocked([unit.stage for unit in work if unit.kind == 'train'], runtime)
    claims = claim_records(ready, runtime.output)
    if not jax.process_index():
      show_plan(runs.plan, runs.validation, runtime.placement(mesh), runtime.output, sys.stderr)
      _record(ready, runtime, data, command, config, claims, only_if_changed=True)
    return _run(work, runs, mesh, runtime, began), describe_study(runs, runtime, command)


def _run_study(study: Study, data: Data, runtime: Runtime, command: str, wanted: Sequence[str], config: str) -> Outcome:
  began = time.monotonic()
  mesh, ready = _ready(study, data, runtime)
  plan = ready.plan
  work = units(plan)
  if wanted:
    work = find_units(wanted, work)
    _require_needs(work, units(plan), runtime)
  check_unlocked([unit.stage for unit in work if unit.kind == 'train'], runtime)
  claims = claim_records(ready, runtime.output)
  record = None
  if not jax.process_index():
    if not wanted:
      show_plan(plan, ready.validation, runtime.placement(mesh), runtime.output, sys.stderr)
    record = _record(ready, runtime, data, command, config, claims, only_if_changed=bool(wanted))
  outcome = _run(work, ready, mesh, runtime, began, judges=not wanted)
  if record and not wanted:
    _keep_own(record, config, runtime)
  return outcome


def _ready(study: Study, data: Data, runtime: Runtime) -> tuple[Mesh, Ready]:
  """The devices, and all that is checked before the first step."""
  mesh = make_mesh(runtime.mesh)
  check_machine(study, runtime, mesh)
  require_same_settings(study, data, runtime)
  if jax.process_count() > 1:
    line = start_line(first_collective(mesh))
    if line and not jax.process_index():
      print(line, file=sys.stderr, flush=True)
  watchdog.at('planning', math.inf)  # of as many steps as a user asks for
  ready = preflight(study, data, runtime, mesh)
  require_same_data(ready.plan, {name: held_out.store for name, held_out in ready.validation.items()})
  return mesh, ready


def _record(ready: Ready, runtime: Runtime, data: Data, command: str, config: str, claims: Mapping[str, dict], only_if_changed: bool) -> dict:
  """Registers the claims, and writes `study.json`, which it returns, `config.gin` and the tokenizer; of process 0 alone."""
  record = describe_study(ready, runtime, command) | register_claims(runtime.output, ready.plan.study.name, claims)
  _write_record(record, config, runtime, only_if_changed)
  keep_tokenizer(as_path(runtime.output), ready.plan.tokenizer, data.tokenizer_path)
  return record


def _run(work: Sequence[Unit], ready: Ready, mesh: Mesh, runtime: Runtime, began: float, judges: bool = False) -> Outcome:
  planning_s = time.monotonic() - began
  with stopping_at_once():
    outcome = run_units(work, ready, mesh, runtime, planning_s)
    if judges:
      watchdog.at('the judgements', math.inf)  # of an endpoint, which has limits of its own
      judge_study(ready, mesh, runtime)
  # A process that has its scores must not exit while others still exchange theirs.
  barrier('study', BARRIER_TIMEOUT_S)
  return outcome


def _require_needs(work: Sequence[Unit], of_study: Sequence[Unit], runtime: Runtime) -> None:
  """Raises UserError, in all processes, if a stage that a unit needs is neither done nor among the units."""
  known, named = {unit.key: unit for unit in of_study}, {unit.key for unit in work}
  for unit in work:
    absent = [need for need in unit.needs if need not in named and known[need].kind == 'train' and not done_for_all(runtime.output, known[need].stage)]
    if absent and not (unit.kind == 'train' and done_for_all(runtime.output, unit.stage)):
      raise UserError(f'{unit.key} needs {absent[0]}, which is not done. Run that first, with --unit={absent[0]} and the same gin flags, or name both.')


def _write_record(record: dict, config: str, runtime: Runtime, only_if_changed: bool) -> None:
  """Writes `study.json` and `config.gin`, after keeping the report of another study.

  Args:
    only_if_changed: leaves one that differs in its provenance alone: that of a study run unit by unit is of its first.
  """
  if former := keep_former(runtime.output, record):
    print(former, file=sys.stderr)
  if only_if_changed and _written(runtime) == _without_provenance(as_read(record)):
    return
  write_json(as_path(runtime.output) / 'study.json', record)
  if config:
    write_text(as_path(runtime.output) / CONFIG, config)


def _keep_own(record: dict, config: str, runtime: Runtime) -> None:
  """Writes `study.json` again if another study, or an edited one, began in the folder meanwhile: the report is written of it."""
  if _written(runtime) == _without_provenance(as_read(record)):
    return
  output = as_path(runtime.output)
  print(f"another study, or an edited one, began in {output} while '{record['name']}' ran: study.json and the report are those of '{record['name']}' again. Once the other one ends, they are its own. `codemix study` of either writes its report again.", file=sys.stderr)
  _write_record(record, config, runtime, only_if_changed=False)


def _written(runtime: Runtime) -> dict | None:
  """`study.json` but for its provenance; None if there is none, or a damaged one."""
  with contextlib.suppress(UserError):
    return _without_provenance(read_json(as_path(runtime.output) / 'study.json'))
  return None


def _without_provenance(record: dict) -> dict:
  return {key: value for key, value in record.items() if key != 'provenance'}


@pinned()
def evaluate_finished(study: Study, data: Data, runtime: Runtime, wanted: str | None = None) -> dict[str, dict]:
  """Evaluates every finished stage that is not evaluated yet.

  If `wanted` names stages (`find_stages`), only these are evaluated. Raises UserError if none of
  them is finished.

  Returns:
    By folder: `stage` (its name), `step`, `checkpoint`, `sources` (the scores by source), `tasks` (by benchmark).
  """
  mesh = make_mesh(runtime.mesh)
  check_layouts(study, runtime, mesh)
  ready = open_study(study, data)
  plan = ready.plan
  stages = plan.stages() if wanted is None else find_stages(wanted, plan.stages())
  results = {}
  for stage_plan in stages:
    if done_for_all(runtime.output, stage_plan):
      result = evaluate_stage(ready, stage_plan, mesh, runtime)
      results[str(stage_folder(runtime.output, stage_plan))] = {'stage': stage_plan.name, **result}
  if not results:
    which = ', '.join(dict.fromkeys(p.name for p in stages))
    raise UserError(f'nothing to evaluate: of the stages {which} none is finished in {runtime.output}. `codemix train` with the same gin files trains them.')
  return results


def describe_study(ready: Ready, runtime: Runtime, command: str) -> dict:
  """What `study.json` holds; the stages' folders are those in `runtime.output`."""
  plan, study = ready.plan, ready.plan.study
  evaluators = [*(held_out.name for held_out in ready.validation.values()), *(task.name for task in ready.tasks), SAMPLES]
  return {
    'name': study.name,
    'baseline': study.baseline,
    'note': study.note,
    'validation': scored_names(study),
    'evaluators': evaluators,
    'recipes': {
      name: {
        'description': study.recipes[name].description,
        'stages': [stage_folder(runtime.output, p).name for p in plans],
        'arm': arm_digest([p.identity for p in plans]),
        'seed': study.recipes[name].seed,
        **({'fields': dict(study.recipes[name].fields)} if study.recipes[name].fields else {}),
        **({'baseline': study.recipes[name].baseline} if study.recipes[name].baseline else {}),
        **({'start': plans[0].start.describe()} if plans[0].start else {}),
        'model': {
          **study.recipes[name].model.identity(),
          'parameters': study.recipes[name].model.parameter_count()['total'],
        },
      }
      for name, plans in plan.recipes.items()
    },
    'stages': {outline.folder: outline.describe() for outline in planned_outlines(plan, runtime.output)},
    'kinds': dict(plan.kinds),
    'savings': plan.savings(),
    'provenance': provenance.collect(plan, command),
  }
