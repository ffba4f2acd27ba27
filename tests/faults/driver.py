"""Runs the small study in a process of its own, which may end itself at a chosen moment.

    python -m tests.faults.driver DATA OUTPUT CACHE [--spoil] [--at MODULE:FUNCTION --call N --send SIGNAL]

MODULE:FUNCTION, such as codemix.training.stage_log:StageLog.write, is wrapped so that its N-th call first
sends SIGNAL to the process: SIGKILL, which nothing survives, or SIGTERM.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
from pathlib import Path

import jax

import codemix
from codemix.errors import CodemixError
from codemix.evaluation import evaluator
from tests import spoiled, tiny_study, tiny_tasks
from tests.faults.interrupt import interrupt


def study(tasks: str | None = None) -> codemix.Study:
  """Three stages that hand over in different ways, with checkpoints inside the first two.

  Args:
    tasks: the folder of a benchmark (`tests.tiny_tasks`) on which every second step is evaluated; None for no benchmark.
  """
  recipe = tiny_study.balanced_to_text(steps=6)
  if tasks is None:
    return tiny_study.study(staged=recipe)
  stages = tuple(dataclasses.replace(stage, evaluate_every=2) for stage in recipe.stages)
  study = tiny_study.study(staged=dataclasses.replace(recipe, stages=stages))
  return dataclasses.replace(study, evaluate=tiny_tasks.evaluation(Path(tasks)))


def spoiled_study() -> codemix.Study:
  """Two stages; in the first a loss is a spike and another is not finite, and each checkpoint but the newest is soon deleted."""
  skips = codemix.Skips(nonfinite=1, rewinds=1, window=8, deviations=4, before=2, after=1)
  first = tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, spoiled.STEPS, skips=skips, evaluate_every=6)
  last = tiny_study.cooldown({'text': 0.8, 'code': 0.2}, spoiled.LAST_STEPS)
  return tiny_study.study(spiking=tiny_study.recipe(first, last))


def spoil() -> None:
  spoiled.spoil(types.SimpleNamespace(setattr=setattr), {14: spoiled.SPIKE, 20: spoiled.NAN})


def log_results(path: str) -> None:
  """Appends a line to a file for everything that is scored."""
  write = evaluator.write_results

  def write_and_log(folder, name, step, *rest):
    write(folder, name, step, *rest)
    with open(path, 'a') as file:
      file.write(f'{folder.name} {step} {name}\n')

  evaluator.write_results = write_and_log


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument('data')
  parser.add_argument('output')
  parser.add_argument('cache', help='folder of compiled programs')
  parser.add_argument('--tasks', help='the folder of a benchmark')
  parser.add_argument('--log', help='a file that lists what was scored')
  parser.add_argument('--spoil', action='store_true', help='train the study of which batches are spoiled')
  parser.add_argument('--at')
  parser.add_argument('--call', type=int, default=1)
  parser.add_argument('--send', default='SIGKILL')
  arguments = parser.parse_args()
  jax.config.update('jax_compilation_cache_dir', arguments.cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if arguments.log:
    log_results(arguments.log)
  if arguments.at:
    interrupt(arguments.at, arguments.call, arguments.send)
  data = codemix.Data(directory=arguments.data, tokenizer='bytes')
  if arguments.spoil:
    spoil()
  try:
    codemix.run_study(spoiled_study() if arguments.spoil else study(arguments.tasks), data, tiny_study.runtime(arguments.output))
  except CodemixError as error:
    print(error, file=sys.stderr)
    return error.exit_code
  return 0


if __name__ == '__main__':
  sys.exit(main())
