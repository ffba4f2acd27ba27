"""Evaluates the checkpoints of a running job, each once, beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax

from codemix.errors import UserError
from codemix.evaluation.evaluator import Evaluator, stored_identity
from codemix.evaluation.results import read_results
from codemix.storage import locked, read_json
from codemix.studies.folder_evaluation import evaluate_folder
from codemix.studies.load_stage import load_stage, load_step, whole_steps
from codemix.studies.step_evaluation import checkpoint_identity, evaluate_saved_step
from codemix.training.stage_record import read_done, read_stage

Scored = Callable[[Path, int, Mapping[str, Mapping[str, float]]], None]
WATCHING = 'evaluating'  # what the process does that holds the lock of a stage's evaluation folder
DELETION_S = 5.0  # a large checkpoint is deleted file by file


def watch(
  folder: Path, evaluators: Sequence[Evaluator], scored: Scored, every_s: float, timeout_s: float | None = None, batch: int | None = None
) -> None:
  """Evaluates each whole checkpoint, in the order of steps, until the stage or the study is done.

  A checkpoint that the job deletes before it is read is passed over. What has results is not evaluated again, so a watcher
  that was killed goes on where it was.

  Raises UserError if the folder is neither a stage nor an output, another process evaluates the same stage, nothing
  new comes for `timeout_s` seconds, or several processes call it.

  Args:
    folder: of a stage, or of an output with `stages/`.
    scored: called with the stage's folder, the step and the scores of each checkpoint.
    every_s: seconds between two looks.
  """
  if jax.process_count() > 1:  # each would see other checkpoints
    raise UserError('one process watches a job: leave out --coordinator_address, --num_processes and --process_id with --watch.')
  last = time.monotonic()
  while True:
    finished = _is_finished(folder)  # asked before looking, so that the look after the end sees the last checkpoint
    for stage in _stages(folder):
      for step, scores in _evaluate_new(stage, evaluators, batch):
        scored(stage, step, scores)
        last = time.monotonic()
    if finished:
      return
    if timeout_s is not None and time.monotonic() - last > timeout_s:
      raise UserError(f'{folder} has had no new checkpoint for {timeout_s:.0f} seconds, and is not done. Is its job still running?')
    time.sleep(every_s)


def _evaluate_new(
  folder: Path, evaluators: Sequence[Evaluator], batch: int | None
) -> Iterator[tuple[int, Mapping[str, Mapping[str, float]]]]:
  identity = read_stage(folder)['hash']
  done = read_done(folder)['step'] if (folder / 'done.json').exists() else None
  end = _last_step(folder) if done is None else done  # its results are those of the stage
  new = [step for step in whole_steps(folder) if step != end and not _has_results(folder, step, checkpoint_identity(identity, step), evaluators)]
  at_end = done is not None and not _has_results(folder, None, read_done(folder)['checkpoint'], evaluators)
  if not new and not at_end:
    return
  with locked(folder / 'evaluation', WATCHING):
    for step in new:
      try:
        scores = evaluate_saved_step(load_step(folder, step), evaluators, batch=batch)
      except Exception:  # Orbax and TensorStore have errors of their own for a file that is gone
        if not _is_deleted(folder, step):
          raise
      else:
        yield step, scores
    if at_end:
      yield done, evaluate_folder(load_stage(folder), evaluators, batch=batch)


def _last_step(folder: Path) -> int:
  """The run's step count at the end of a stage that is not done."""
  plan = read_json(folder / 'plan.json', {'first_step': int, 'steps': int})
  return plan['first_step'] + plan['steps']


def _is_deleted(folder: Path, step: int) -> bool:
  """Whether the job has deleted a checkpoint, or does so within DELETION_S."""
  until = time.monotonic() + DELETION_S
  while step in whole_steps(folder):
    if time.monotonic() > until:
      return False
    time.sleep(0.1)
  return True


def _has_results(folder: Path, step: int | None, checkpoint: str, evaluators: Sequence[Evaluator]) -> bool:
  stored = read_results(folder, step)
  return all(evaluator.name in stored and stored[evaluator.name].identity == stored_identity(evaluator, checkpoint) for evaluator in evaluators)


def _stages(folder: Path) -> list[Path]:
  """The stages that have begun. Raises UserError if the folder is not one of codemix."""
  if (folder / 'stage.json').exists():
    return [folder]
  if not (folder / 'stages').is_dir() and not (folder / 'study.json').exists():
    raise UserError(f'{folder} is neither a stage nor the output folder of a run: it has no stage.json and no study.json.')
  return sorted(path.parent for path in folder.glob('stages/*/stage.json'))


def _is_finished(folder: Path) -> bool:
  """Whether every stage is done; those of a study are the ones that its study.json names."""
  if (folder / 'stage.json').exists():
    return (folder / 'done.json').exists()
  if not (folder / 'study.json').exists():
    return False
  recipes = read_json(folder / 'study.json')['recipes'].values()
  return all((folder / 'stages' / stage / 'done.json').exists() for recipe in recipes for stage in recipe['stages'])
