"""`codemix verify --replay`: of a recipe or study that gin files name, or of the folder of a run, which has its own gin file."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from codemix.commands.experiment import Experiment, load_experiment, set_up_jax, show_line
from codemix.errors import UserError
from codemix.storage import absolute, as_path, local_copy, read_json
from codemix.studies.study_record import CONFIG


def replay_study(experiment: Experiment, steps: int, only: str | None = None) -> bool:
  """Replays steps of each stage of a study that was begun; returns whether there was one.

  Raises CodemixError for the first value that differs.

  Args:
    steps: of each stage at most.
    only: the hash of the one stage that is replayed; None for all.
  """
  from codemix.parallel.mesh import make_mesh
  from codemix.studies.planning import plan_study
  from codemix.studies.replay import replay
  from codemix.training.loop import Trainer

  set_up_jax(experiment.runtime)
  plan, runtime = plan_study(experiment.study, experiment.data), experiment.runtime
  mesh = make_mesh(runtime.mesh)
  any_replayed = False
  for stage in plan.stages():
    if only not in (None, stage.hash, stage.earlier_hash):
      continue
    recipe = plan.recipe_of(stage)
    trainer = Trainer(recipe.model, recipe.optimizer, plan.sources_of(stage.length), mesh, runtime, plan.tokenizer.bos_id)
    replayed = replay(trainer, stage, steps)
    any_replayed |= replayed is not None
    show_line(f'{trainer.folder(stage)}: {replayed or "has no steps to replay"}')
  return any_replayed


def replay_folder(folder: Path, arguments: argparse.Namespace) -> None:
  """Replays the stages of a run's output folder, or one of them, with the gin file that the run has left there.

  Raises UserError: there is no such file, or it is of another run. Raises CodemixError as `replay_study`.
  """
  from codemix.training.stage_record import read_stage

  folder = absolute(folder)
  only = read_stage(folder)['hash'] if (folder / 'stage.json').exists() else None
  output = folder.parent.parent if only else folder
  if not (output / CONFIG).exists():
    raise UserError(f'{folder}: --replay reads the gin bindings of the run from {output / CONFIG}, and there is none: {_why_none(output)}')
  with local_copy(output / CONFIG) as file:
    bindings = [*arguments.gin_bindings, f'Runtime.output = {str(output)!r}']
    experiment = load_experiment(argparse.Namespace(gin_file=[str(file)], gin_search_paths=arguments.gin_search_paths, gin_bindings=bindings), warns=False)
  if not replay_study(experiment, arguments.replay, only):
    raise UserError(
      f'{folder} has no steps of a stage that {output / CONFIG} describes: the file is of the last run in {output}, or its data or the version of codemix were changed. '
      'Give the gin files of the stage with --gin_file, and no folder.'
    )


def _why_none(output: Path) -> str:
  with contextlib.suppress(UserError, KeyError, TypeError):
    if command := read_json(as_path(output) / 'study.json')['provenance']['command']:
      return f'it was trained by an earlier codemix. Give the gin files of its command with --gin_file, and no folder; it was: {command}'
  return 'it is not the output folder of `codemix train` or `codemix study`, nor a stage in it. Name such a folder, or give the gin files of the run with --gin_file.'
