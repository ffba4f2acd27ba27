"""A shipped study as its report finds it: planned on stores that only state their sizes, not trained, and scored with made-up results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import codemix
from codemix.evaluation.held_out import summary
from codemix.evaluation.results import HELD_OUT_PREFIX, Results, write_results
from codemix.storage import write_json
from codemix.studies.planning import StudyPlan
from codemix.studies.preflight import Ready
from codemix.studies.runner import describe_study
from codemix.training.stage import stage_folder
from codemix.training.stage_record import write_plan
from tests.report.fake_benchmarks import task_results, write_task

TASKS = {'piqa': (40, 2), 'triviaqa': (30, 0), 'humaneval': (20, 0)}  # (items, choices), one of each group of the paper


def write_planned_study(folder: Path, plan: StudyPlan, tasks: Mapping[str, tuple[int, int]] = TASKS, kinds: Mapping[str, str] | None = None) -> Path:
  """Writes `study.json` and the plan of each stage, with results of tasks and of two held-out sources.

  Args:
    kinds: declared kinds by source; those of the local corpora by default.
  """
  for stage in plan.stages():
    place = stage_folder(folder, stage)
    write_plan(place, stage, plan.recipe_of(stage).model)
    seed = int(stage.hash[:6], 16)
    for task, (items, choices) in tasks.items():
      write_task(place, task, task_results(task, 0.5, items, choices, seed), stage.last_step)
    for source in ('local_text', 'local_code'):
      sizes = np.full(4, 100)
      nats = sizes * np.random.default_rng([seed, len(source)]).uniform(0.8, 1.2, 4)
      items = {'nats': nats, 'tokens': sizes // 4, 'bytes': sizes}
      write_results(place, f'{HELD_OUT_PREFIX}{source}', stage.last_step, {'checkpoint': stage.hash}, Results(summary(**items), items))
  record = describe_study(Ready(plan, {}), codemix.Runtime(output=str(folder)), 'codemix study')
  write_json(folder / 'study.json', {**record, 'kinds': kinds or {'local_text': 'text', 'local_code': 'code'}})
  return folder


def write_verdicts(folder: Path, first: str, second: str, **scores: float) -> None:
  """Stores what a judge decided on the answers of one stage's folder against those of another."""
  write_results(folder / 'stages' / first, f'judge/dolly-against-{second}', 1, {'checkpoint': 'x'}, Results(scores))
