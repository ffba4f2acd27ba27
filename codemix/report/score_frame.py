"""All scores of a study as a pandas frame: `scores.csv`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.evaluation.results import SAMPLES, StoredResults
from codemix.report.arms import arms
from codemix.report.results import StageResults, StudyResults, read_study
from codemix.report.suite import TASKS
from codemix.studies.fields import field_columns

if TYPE_CHECKING:
  import pandas as pd

COLUMNS = ('arm', 'seed', 'recipe', 'position', 'stage', 'folder', 'step', 'at_end', 'task', 'score', 'value')


def load_scores(study_dir: Path | str) -> pd.DataFrame:
  """Every score of a study, as in scores.csv: a row for each recipe, stage, checkpoint, task and score.

  Raises UserError if the folder is not that of a study or a file of it is damaged.
  """
  return score_frame(read_study(study_dir))


def score_frame(study: StudyResults) -> pd.DataFrame:
  """Every score of every evaluator, at the stages' ends and at checkpoints before them.

  Columns: `step` is that of the run; `at_end` says whether the checkpoint is that of the stage's end; `task` is the
  evaluator without 'tasks/', such as 'piqa' or 'held_out/local_text'; `score` its name, such as 'score' (the headline)
  or 'gold_bits_per_byte'; last a column 'field_NAME' for each of the recipes' fields. A stage that several recipes share is
  there for each of them.
  """
  import pandas as pd

  arm_of = {recipe: arm.name for arm in arms(study) for recipe in arm.recipes}
  fields_of = field_columns({recipe.name: recipe.fields for recipe in study.recipes.values()})
  names = list(next(iter(fields_of.values()), {}))
  lines = []
  for recipe in study.recipes.values():
    seed = math.nan if recipe.seed is None else recipe.seed
    for position, folder in enumerate(recipe.stages, 1):
      stage = study.stages[folder]
      head = (arm_of[recipe.name], seed, recipe.name, position, stage.name, folder)
      lines += [(*head, *line, *fields_of[recipe.name].values()) for line in _of_stage(stage)]
  return pd.DataFrame(lines, columns=[*COLUMNS, *names]).astype({'seed': 'Int64'})


def _of_stage(stage: StageResults) -> Iterator[tuple[int, bool, str, str, float]]:
  for results in stage.steps.values():
    yield from _of_checkpoint(results, at_end=False)
  yield from _of_checkpoint(stage.results, at_end=True)


def _of_checkpoint(results: Mapping[str, StoredResults], at_end: bool) -> Iterator[tuple[int, bool, str, str, float]]:
  for name, stored in results.items():
    if name != SAMPLES:
      for score, value in stored.scores.items():
        yield stored.step, at_end, name.removeprefix(TASKS), score, value
