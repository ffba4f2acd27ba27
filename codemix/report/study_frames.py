"""`codemix.results`: the numbers of a study as data frames, without writing a report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.evaluation.results import HELD_OUT_PREFIX
from codemix.evaluation.statistics import Estimate
from codemix.report.claim_frame import claim_frame
from codemix.report.comparison import Row
from codemix.report.content import Content, gather
from codemix.report.frames import results_frame
from codemix.report.results import read_study
from codemix.report.score_frame import score_frame
from codemix.report.suite import TASKS
from codemix.report.tables import compared_arms
from codemix.studies.fields import field_columns

if TYPE_CHECKING:
  import pandas as pd

GROUP = 'group/'  # before the label of a group of tasks, as a metric
CHANGES = (
  'position', 'stage', 'metric', 'unit', 'same_tokens', 'value', 'low', 'high', 'error', 'freedom', 'p', 'spread', 'seeds', 'baseline_seeds',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class StudyFrames:
  """The numbers of a study, as far as it has got. Frames may be empty; their columns are always there.

  Attributes:
    stages: a row for each recipe, stage and source, as in results.csv: tokens, the ledger, bits per byte and its relative change.
    scores: a row for each recipe, stage, checkpoint, task and score, as in scores.csv: fractions, or bits per byte.
    changes: a row for each arm that is compared with another, stage and metric: `value` is the change of `arm` against `against`, from
      `low` to `high` (95%), in `unit`; `same_tokens` is False if they end after other numbers of tokens. Each of the arm's fields is a column 'field_NAME'. `metric` is 'held_out/SOURCE' (in 'percent' of the baseline's bits per byte), 'tasks/TASK', or
      'group/LABEL', the average of a group of tasks (both in 'points', hundredths). `p` is of this comparison alone, and unknown
      (NaN) unless both arms have two seeds or more, as are `error`, its standard error, and `freedom`, its degrees of freedom. `spread` is
      the standard deviation over seeds in `unit`; `seeds` and `baseline_seeds` are the runs that were compared.
    claims: a row for each claim, as in claims.csv.
  """

  stages: pd.DataFrame
  scores: pd.DataFrame
  changes: pd.DataFrame
  claims: pd.DataFrame


def results(study_dir: Path | str) -> StudyFrames:
  """The numbers of a study as data frames.

  Raises UserError if the folder is not that of a study, a file of it is damaged, stages were evaluated on different documents, or
  registered claims were changed.
  """
  content = gather(read_study(study_dir))
  return StudyFrames(
    stages=results_frame(content.study, content.rows),
    scores=score_frame(content.study),
    changes=changes_frame(content),
    claims=claim_frame(content.claims),
  )


def changes_frame(content: Content) -> pd.DataFrame:
  """The changes of every arm against its baseline, as `StudyFrames.changes`."""
  import pandas as pd

  fields_of = field_columns({recipe.name: recipe.fields for recipe in content.study.recipes.values()})
  lines = []
  for arm in compared_arms(content) if content.study.baseline else ():
    for row in content.rows_of(arm):
      for metric, unit, change in _changes(content, row):
        figures = (row.position, row.stage.name, metric, unit, row.contrast.same_tokens, *_figures(change))
        lines.append({'arm': arm.name, 'against': content.baseline_of(arm), **fields_of[arm.recipes[0]], **dict(zip(CHANGES, figures, strict=True))})
  columns = ['arm', 'against', *next(iter(fields_of.values())), *CHANGES]
  return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(('position', 'seeds', 'baseline_seeds'), 'Int64'))


def _changes(content: Content, row: Row) -> Iterator[tuple[str, str, Estimate]]:
  for source in content.study.validation_sources:
    if source in row.changes:
      yield f'{HELD_OUT_PREFIX}{source}', 'percent', row.changes[source]
  for group in content.suite.groups:
    scores = {f'{TASKS}{benchmark.name}': benchmark.score for benchmark in group.scored}
    if group.scored:
      scores[f'{GROUP}{group.label}'] = group.average
    for metric, score in scores.items():
      if change := score.change(row.contrast):
        yield metric, 'points', change


def _figures(change: Estimate) -> tuple:
  found = change.difference
  error, freedom = (100 * found.error, found.freedom) if found else (math.nan, math.nan)
  p = math.nan if change.p is None else change.p
  base_seeds = change.seeds if change.base_seeds is None else change.base_seeds
  return (*(100 * value for value in (change.value, change.low, change.high)), error, freedom, p, 100 * change.spread, change.seeds, base_seeds)
