"""The variance components of a finished study's benchmarks, to plan another one with."""

from __future__ import annotations

import numpy as np

from codemix.errors import UserError
from codemix.inference.components import Components, estimate_components
from codemix.report.arms import arms
from codemix.report.results import StudyResults
from codemix.report.suite import Benchmark, gather_suite


def pilot_components(study: StudyResults) -> dict[str, Components]:
  """Of every benchmark that an arm was scored on with two seeds or more, after its last stage, in points.

  Arms of all models count: an earlier study is of use for another size as far as its noise is like that.

  Raises UserError if there is none, or a file of items is damaged.
  """
  found = {benchmark.name: components for benchmark in gather_suite(study).benchmarks if (components := _of(study, benchmark))}
  if not found:
    raise UserError(
      f'{study.folder} has no benchmark that an arm was scored on with two seeds, so its noise is unknown: give a study with replicates (recipes that differ in Recipe.seed alone).'
    )
  return found


def _of(study: StudyResults, benchmark: Benchmark) -> Components | None:
  task = benchmark.task
  runs = [[study.recipes[name].stages[-1] for name in arm.recipes] for arm in arms(study)]
  with_items = [[folder for folder in of if folder in task.correct] for of in runs]
  if any(len(of) > 1 for of in with_items):
    return estimate_components([100 * np.stack([task.correct[folder] for folder in of]) for of in with_items if of])
  scored = [[task.values[folder] for folder in of if folder in task.values] for of in runs]
  return estimate_components([100 * np.array(of) for of in scored if of]) if any(len(of) > 1 for of in scored) else None
