"""The variance components of a finished study's scores, to plan another one with."""

from __future__ import annotations

import math

import numpy as np

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.inference.components import Components, estimate_components
from codemix.report.arms import arms
from codemix.report.results import StudyResults
from codemix.report.suite import Benchmark, gather_suite

PASSED = 'passed'  # of an answer that was executed


def pilot_components(study: StudyResults) -> dict[str, Components]:
  """Of every benchmark, in points, and of every held-out source, in bits per byte, that an arm was scored on with two seeds or more, after its last stage.

  Arms of all models count: an earlier study is of use for another size as far as its noise is like that. A benchmark with the name of a source
  takes its place.

  Raises UserError if there is none, or a file of items is damaged.
  """
  found = source_components(study) | benchmark_components(study)
  if not found:
    raise UserError(
      f'{study.folder} has no benchmark and no held-out source that an arm was scored on with two seeds, so its noise is unknown: give a study with replicates (recipes that differ in Recipe.seed alone).'
    )
  return found


def benchmark_components(study: StudyResults) -> dict[str, Components]:
  """Those of benchmarks; {} if there are none."""
  return {benchmark.name: components for benchmark in gather_suite(study).benchmarks if (components := _of(study, benchmark))}


def source_components(study: StudyResults) -> dict[str, Components]:
  """Those of held-out sources; {} if there are none.

  The items are documents. Bits per byte are a ratio, so a document counts with what it adds to it: its bits less those that its
  bytes would have at the mean rate, in units of a mean document's bytes. The mean of that over the documents is the ratio itself.
  """
  found = {source: _of_documents(study, source) for source in study.validation_sources}
  return {source: components for source, components in found.items() if components}


def _of_documents(study: StudyResults, source: str) -> Components | None:
  runs = [[study.stages[folder] for folder in of] for of in _runs(study)]
  known = [[stage.documents[source] for stage in of if source in stage.documents] for of in runs]
  if any(len(of) > 1 for of in known):
    first = next(of[0] for of in known if of)
    for documents in (documents for of in known for documents in of):
      statistics.require_same_documents(documents['bytes'], first['bytes'])
    return estimate_components([np.stack([_rates(documents['nats'] / math.log(2), documents['bytes']) for documents in of]) for of in known if of])
  figures = [[stage.scores[source]['bits_per_byte'] for stage in of if source in stage.scores] for of in runs]
  return estimate_components([np.array(of) for of in figures if of]) if any(len(of) > 1 for of in figures) else None


def _rates(bits_N: np.ndarray, bytes_N: np.ndarray) -> np.ndarray:
  """What each document adds to sum(bits) / sum(bytes); their mean is that."""
  rate = bits_N.sum() / bytes_N.sum()
  return rate + (bits_N - rate * bytes_N) / bytes_N.mean()


def _of(study: StudyResults, benchmark: Benchmark) -> Components | None:
  task = benchmark.task
  runs = _runs(study)
  with_items = [[folder for folder in of if folder in task.correct] for of in runs]
  if any(len(of) > 1 for of in with_items):
    sampled = _answers(benchmark, [folder for of in with_items for folder in of])
    scores = sampled or task.correct
    return estimate_components([100 * np.stack([scores[folder] for folder in of]) for of in with_items if of])
  scored = [[task.values[folder] for folder in of if folder in task.values] for of in runs]
  return estimate_components([100 * np.array(of) for of in scored if of]) if any(len(of) > 1 for of in scored) else None


def _runs(study: StudyResults) -> list[list[str]]:
  """The last stage of each run of each arm."""
  return [[study.recipes[name].stages[-1] for name in arm.recipes] for arm in arms(study)]


def _answers(benchmark: Benchmark, folders: list[str]) -> dict[str, np.ndarray]:
  """Whether each of several sampled answers was right, float [I, K], by stage folder; {} unless all stages kept that of equally many."""
  found = {folder: benchmark.stored[folder].items(('id', 'outcomes')) for folder in folders}
  first = found[folders[0]]
  if any('outcomes' not in items for items in found.values()):
    return {}
  if len({len(each) for items in found.values() for each in items['outcomes']}) != 1 or len(first['outcomes'][0]) < 2:
    return {}
  passed = {}
  for folder, items in found.items():
    of_item = dict(zip(items['id'].tolist(), items['outcomes'], strict=True))
    if of_item.keys() != set(first['id'].tolist()) or not all(np.isfinite(benchmark.task.correct[folder])):
      return {}
    passed[folder] = np.array([[outcome == PASSED for outcome in of_item[item]] for item in first['id'].tolist()], np.float64)
  return passed
