"""Runs a study: plan, train each stage once, evaluate it."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from codemix.data.settings import Data
from codemix.data.token_store import TokenStore
from codemix.evaluation.held_out import score_documents
from codemix.evaluation.sampling import sample
from codemix.files import read_json, write_bytes, write_json
from codemix.models.config import ModelConfig
from codemix.numerics import pinned
from codemix.parallel.mesh import make_mesh
from codemix.parallel.processes import barrier
from codemix.studies import announce, provenance
from codemix.studies.alike import require_alike, require_same_data
from codemix.studies.finished import keep_tokenizer
from codemix.studies.machine import check_machine, check_room
from codemix.studies.planning import StudyPlan, plan_study, scored_names
from codemix.studies.recipe import Study
from codemix.studies.report import keep_former
from codemix.studies.results import arm_digest
from codemix.training.loop import BARRIER_TIMEOUT_S, Trainer, final_params, train_stage
from codemix.training.preemption import stopping_at_once
from codemix.training.runtime import Runtime
from codemix.training.stage import StagePlan, is_done, stage_folder
from codemix.training.stage_record import read_done
from codemix.training.time_account import TimeAccount
from codemix.training.train_state import state_bytes


@pinned()
def run_study(study: Study, data: Data, runtime: Runtime, command: str = '') -> Path:
  """Trains and evaluates every stage of every recipe, each shared beginning once.

  Everything must be prepared. However often it is interrupted, the same call
  goes on where it was, and a finished study takes seconds.

  Args:
    command: the command line, kept in the study's provenance.

  Returns:
    The output folder, with `study.json`.

  Raises:
    UserError: something that the user wrote or pointed at is wrong, such as a folder in which another
      process trains, or processes that were started with different settings.
    NonFiniteError: a loss or a gradient is not finite; nothing after the last checkpoint is kept.
    Preempted: SIGTERM came; what was finished is saved, and the same call goes on from there.
    CodemixError: another failure that codemix expects; all of these are one.
  """
  began = time.monotonic()
  mesh = make_mesh(runtime.mesh)
  check_machine(study, runtime, mesh)
  require_alike(study, data, runtime)
  plan = plan_study(study, data)
  validation = {name: data.open_store(name, 'validation', plan.tokenizer) for name in scored_names(study)}
  require_same_data(plan, validation)
  checkpoint_bytes = max(state_bytes(r.model, r.optimizer) for r in study.recipes.values())
  check_room(plan, runtime, checkpoint_bytes)
  if not jax.process_index():
    announce.show_plan(plan, runtime.placement(mesh), runtime.output, sys.stderr)
    record = _describe(plan, runtime, command)
    if former := keep_former(runtime.output, record):
      print(former, file=sys.stderr)
    write_json(Path(runtime.output) / 'study.json', record)
    keep_tokenizer(Path(runtime.output), plan.tokenizer, data.tokenizer_path)
  planning = time.monotonic() - began
  with stopping_at_once():
    for number, stage_plan in enumerate(plan.stages(), 1):
      trainer = _trainer(plan, stage_plan, mesh, runtime)
      announce.show_stage(plan, stage_plan, number, runtime.output)
      if not is_done(runtime.output, stage_plan):
        # Planning anew is part of the first stage's time; evaluating those before it is not.
        train_stage(trainer, stage_plan, time.monotonic() - planning)
        planning = 0.0
      evaluate_stage(plan, stage_plan, trainer, validation)
  # A process that has its scores may not leave while others still exchange theirs.
  barrier('study', BARRIER_TIMEOUT_S)
  return Path(runtime.output)


@pinned()
def evaluate_finished(study: Study, data: Data, runtime: Runtime) -> dict[str, dict]:
  """Evaluates every stage that is finished, where that was not done already.

  Returns:
    `evaluation.json` of each, with the stage's name, by folder.
  """
  plan = plan_study(study, data)
  validation = {name: data.open_store(name, 'validation', plan.tokenizer) for name in scored_names(study)}
  mesh = make_mesh(runtime.mesh)
  results = {}
  for stage_plan in plan.stages():
    if is_done(runtime.output, stage_plan):
      trainer = _trainer(plan, stage_plan, mesh, runtime)
      result = evaluate_stage(plan, stage_plan, trainer, validation)
      results[str(trainer.folder(stage_plan))] = {'stage': stage_plan.stage.name, **result}
  return results


_EVALUATION = {'identity': dict, 'sources': {...: {'bits_per_byte': float}}}


def evaluate_stage(
  plan: StudyPlan, stage_plan: StagePlan, trainer: Trainer, validation: dict[str, TokenStore]
) -> dict:
  """Scores a finished stage's model on each validation source, unless that was done already.

  Returns:
    What `evaluation.json` holds.
  """
  folder = trainer.folder(stage_plan)
  done = read_done(folder)
  wanted = _evaluation_identity(plan.study, done, validation)
  path = folder / 'evaluation.json'
  if path.exists() and (found := read_json(path, _EVALUATION, 'Delete it to score the stage again.'))['identity'] == wanted:
    return found
  with TimeAccount(None if jax.process_index() else folder, 'evaluation'):
    params = final_params(trainer, stage_plan)
    recipe = plan.recipe_of(stage_plan)
    scores = {
      name: score_documents(
        recipe.model,
        params,
        store,
        length=recipe.length,
        batch=trainer.runtime.rows_at_once(stage_plan.stage.batch),
        bos_id=plan.tokenizer.bos_id,
        mesh=trainer.mesh,
        rules=trainer.runtime.rules,
      )
      for name, store in validation.items()
    }
    samples = sample(
      recipe.model,
      params,
      plan.tokenizer,
      plan.study.prompts,
      tokens=plan.study.sample_tokens,
      seed=recipe.seed,
      mesh=trainer.mesh,
    )
  result = {
    'step': done['step'],
    'checkpoint': done['checkpoint'],
    'identity': wanted,
    'sources': {name: score.summary() for name, score in scores.items()},
  }
  if not jax.process_index():
    for name, score in scores.items():
      buffer = io.BytesIO()
      np.savez(buffer, nats=score.nats, tokens=score.tokens, bytes=score.bytes)
      write_bytes(folder / 'evaluation' / f'{name}.npz', buffer.getvalue())
    write_json(folder / 'samples.json', samples)
    write_json(path, result)
    announce.show_scores(stage_plan, result)
  return result


def _evaluation_identity(study: Study, done: dict, validation: dict[str, TokenStore]) -> dict:
  return {
    'checkpoint': done['checkpoint'],
    'sources': {name: store.digest for name, store in validation.items()},
    'prompts': list(study.prompts),
    'sample_tokens': study.sample_tokens,
  }


def _trainer(plan: StudyPlan, stage_plan: StagePlan, mesh: Mesh, runtime: Runtime) -> Trainer:
  recipe = plan.recipe_of(stage_plan)
  return Trainer(recipe.model, recipe.optimizer, plan.sources, mesh, runtime, plan.tokenizer.bos_id)


def _describe(plan: StudyPlan, runtime: Runtime, command: str) -> dict:
  study = plan.study
  return {
    'name': study.name,
    'baseline': study.baseline,
    'note': study.note,
    'validation': scored_names(study),
    'recipes': {
      name: {
        'description': study.recipes[name].description,
        'stages': [stage_folder(runtime.output, p).name for p in plans],
        'arm': arm_digest([p.identity for p in plans]),
        'seed': study.recipes[name].seed,
        'model': _describe_model(study.recipes[name].model),
      }
      for name, plans in plan.recipes.items()
    },
    'savings': plan.savings(),
    'provenance': provenance.collect(plan, command),
  }


def _describe_model(model: ModelConfig) -> dict:
  return {**model.identity(), 'parameters': model.parameter_count()['total']}
