"""Made-up results of benchmarks, written into the stages of a study as an evaluation writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codemix.evaluation.results import HELD_OUT_PREFIX, Results, read_results, write_results
from codemix.evaluation.tasks.registry import Group
from codemix.report.results import read_study

# Items and choices of each task; 0 choices: the answer is free.
TASKS = {'piqa': (180, 2), 'boolq': (120, 2), 'arc_easy': (240, 4), 'triviaqa': (150, 0), 'humaneval': (60, 0)}
GROUPS = {
  'nl_reasoning': Group(('boolq', 'piqa', 'story_cloze', 'arc_easy'), 'Reason.'),
  'knowledge': Group(('triviaqa',), 'Know.'),
  'code': Group(('humaneval',), 'Code'),
}


def task_results(task: str, skill: float, items: int, choices: int, seed: int = 0) -> Results:
  """A task whose items are right with about the probability `skill`, and harder or easier for all models alike.

  Args:
    skill: 0 to 1.
    seed: of the model's own luck; the items are the same for all.
  """
  shared, own = (np.random.default_rng([len(task), ord(task[0]), *of]) for of in ((), (seed,)))
  correct = (0.7 * shared.random(items) + 0.3 * own.random(items) < skill).astype(np.float64)
  sizes = shared.integers(2, 60, items)
  nats = sizes * (1.2 - 0.6 * skill) * own.gamma(400, 1 / 400, items) * shared.gamma(20, 1 / 20, items)
  scores = {'score': float(correct.mean()), 'items': items, 'gold_bits_per_byte': float(nats.sum() / sizes.sum() / math.log(2))}
  if choices:
    scores |= {'chance': 1 / choices, 'majority': 1 / choices + 0.02, 'gold_probability': 0.9 * float(correct.mean())}
  columns = {'id': [f'{task}/{number}' for number in range(items)], 'correct': correct, 'gold_nats': nats, 'gold_bytes': sizes}
  return Results(scores, columns)


def write_task(stage_folder: Path, task: str, results: Results, step: int, before_end: bool = False, **settings) -> None:
  """Stores results of a task.

  Args:
    settings: of the identity.
  """
  identity = {
    'checkpoint': f'{stage_folder.name} {step}', 'version': 1, 'task': task, 'metric': 'accuracy', 'data': {f'{task}.jsonl': f'sha of {task}'},
    'prompts': 'digest', **settings,
  }  # fmt: skip
  write_results(stage_folder, f'tasks/{task}', step, identity, results, before_end)


def add_benchmarks(study: Path, tasks: Mapping[str, tuple[int, int]] = TASKS, checkpoints: int = 0) -> Path:
  """Adds results of tasks to every stage of a finished study; code helps code.

  Args:
    tasks: (items, choices) by name.
    checkpoints: evaluated before the end of each stage.
  """
  stages = read_study(study).stages
  for folder in sorted((study / 'stages').iterdir()):
    seed, done = int(folder.name.rpartition('-')[2][:6], 16), read_results(folder)
    end = next(iter(done.values())).step
    length = stages[folder.name].plan['steps']
    for number in range(checkpoints + 1):
      step, before_end = end - length * (checkpoints - number) // (checkpoints + 1), number < checkpoints
      for task, (items, choices) in tasks.items():
        skill = 0.35 + 0.1 * ('text' in folder.name) + 0.02 * math.log(step + 1) + 0.2 * (1 / choices if choices else -1)
        write_task(folder, task, task_results(task, min(0.98, skill), items, choices, seed + number), step, before_end)
      if before_end:
        for name, found in done.items():
          if name.startswith(HELD_OUT_PREFIX):
            worse = {**found.scores, 'bits_per_byte': found.scores['bits_per_byte'] * (1 + 0.1 * (checkpoints - number))}
            write_results(folder, name, step, {'checkpoint': f'{folder.name} {step}'}, Results(worse), before_end=True)
  return study


def write_judge(stage_folder: Path, **scores: float) -> None:
  """Stores the verdicts of a judge named 'dolly'."""
  write_results(stage_folder, 'judge/dolly', 1, {'checkpoint': 'x'}, Results(scores))
