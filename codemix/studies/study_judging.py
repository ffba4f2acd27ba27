"""A judge compares the recipes of a finished study with their baselines."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.evaluation.tasks.instructions import Instructions
from codemix.storage import as_path
from codemix.studies.baselines import baseline_of
from codemix.studies.judging import judge_stages
from codemix.studies.load_stage import load_stage
from codemix.studies.preflight import Ready
from codemix.training.runtime import Runtime
from codemix.training.stage import stage_folder


def judge_study(ready: Ready, mesh: Mesh, runtime: Runtime) -> None:
  """Has `Study.judge` compare each recipe's last stage with that of its baseline, on each task of instructions.

  Called in all processes, of which process 0 asks. A comparison that is whole is not asked for again. A judge that
  fails is a warning: the study is trained and evaluated, and the same command asks again.
  """
  study = ready.plan.study
  if study.judge is None:
    return
  evaluation = study.evaluation
  pairs = _compared(ready, runtime)
  for task in filter(lambda task: isinstance(task, Instructions), evaluation.selected()):
    for other, baseline in pairs:
      try:
        found = judge_stages(load_stage(other), load_stage(baseline), task, evaluation.settings(), study.judge, mesh)
      except (UserError, OSError) as error:
        _say(f'warning: the judge did not compare {other.name} with {baseline.name} on {task.name}: {error}')
        continue
      if 'win_rate' in found.scores:
        _say(f'{found.name}, of {other.name}: win rate {found.scores["win_rate"]:.1%} ({found.asked} answers new, {found.cached} from the cache)')
      elif found.scores:
        reason = f': {found.failures[-1]}' if found.failures else ''
        _say(f'warning: the judge decided nothing on {task.name} for {other.name}{reason}')


def _compared(ready: Ready, runtime: Runtime) -> list[tuple[Path, Path]]:
  """The last stage's folder of each recipe, and that of its baseline if it is another."""
  last = {name: as_path(stage_folder(runtime.output, stages[-1])) for name, stages in ready.plan.recipes.items()}
  pairs = dict.fromkeys((folder, last[baseline_of(ready.plan.study, name)]) for name, folder in last.items())
  return [(folder, baseline) for folder, baseline in pairs if folder != baseline]


def _say(line: str) -> None:
  if not jax.process_index():
    print(line, file=sys.stderr)
