"""Leaves out what is missing, and says so.

Two arms are compared on the items that every run of both has a score for: an arm that was not scored on hard
items must not gain from it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores


def complete(own: ArmScores, base: ArmScores) -> tuple[ArmScores, ArmScores, tuple[str, ...]]:
  """(own, base, notes): both arms on what all of their runs have scores for, and a sentence for each thing left out.

  A run without any score of a task is left out first, then the items that a remaining run lacks.

  Raises UserError if the arms have other tasks, weights or numbers of items, or if no run or no item is left.
  """
  _require_alike(own, base)
  (own, own_notes), (base, base_notes) = _scored_runs(own), _scored_runs(base)
  notes = [*own_notes, *base_notes]
  own_tasks, base_tasks = [], []
  for number, (ours, theirs) in enumerate(zip(own.tasks, base.tasks, strict=True)):
    if ours.ndim == 2:
      kept_I = ~(np.isnan(ours).any(axis=0) | np.isnan(theirs).any(axis=0))
      where = f' of task {number + 1}' if len(own.tasks) > 1 else ''
      if not kept_I.any():
        raise UserError(f'{own.name} and {base.name} have no item{where} that all of their runs were scored on: score the runs on the same items.')
      if not kept_I.all():
        notes.append(f'{(~kept_I).sum():,} of {kept_I.size:,} items{where} are left out: a run has no score for them.')
      ours, theirs = ours[:, kept_I], theirs[:, kept_I]
    own_tasks.append(ours)
    base_tasks.append(theirs)
  return dataclasses.replace(own, tasks=tuple(own_tasks)), dataclasses.replace(base, tasks=tuple(base_tasks)), tuple(notes)


def _require_alike(own: ArmScores, base: ArmScores) -> None:
  if own.weights != base.weights:
    raise UserError(f'{own.name} and {base.name} weigh their tasks differently ({list(own.weights)}, {list(base.weights)}): give both the same.')
  for ours, theirs in zip(own.tasks, base.tasks, strict=True):
    if ours.shape[1:] != theirs.shape[1:]:
      raise UserError(
        f'{own.name} has scores of shape {list(ours.shape)}, {base.name} of {list(theirs.shape)}: score both on the same items, or give both as figures without items.'
      )


def _scored_runs(arm: ArmScores) -> tuple[ArmScores, list[str]]:
  lacking_S = np.any([np.isnan(task).all(axis=1) if task.ndim == 2 else np.isnan(task) for task in arm.tasks], axis=0)
  if lacking_S.all():
    raise UserError(f'{arm.name} has no run with scores of every task: evaluate it, or leave it out.')
  if not lacking_S.any():
    return arm, []
  gone = [arm.seeds[index] if arm.seeds else index for index in np.flatnonzero(lacking_S)]
  return arm.with_runs(np.flatnonzero(~lacking_S)), [f'{arm.name}: left out without scores: {", ".join(f"seed {seed}" for seed in gone)}.']
