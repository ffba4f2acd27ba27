"""`codemix report --files`: the pictures and tables of a report as files of their own, for a paper or slides."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from codemix.report import (
  figures,
  judge_table,
  judged_pairs,
  latex,
  paper_figures,
  shares,
  suite_tables,
  svg,
  tables,
)
from codemix.report.claim_table import claim_table
from codemix.report.content import Content
from codemix.report.figures import Pictures
from codemix.report.frames import results_frame
from codemix.report.score_frame import score_frame
from codemix.report.svg import Picture
from codemix.report.table import Table
from codemix.studies.study_record import REPORT_FOLDER


def report_files(content: Content) -> dict[str, bytes]:
  """What lies in the folder REPORT_FOLDER of a study, by path within the study's folder.

  `figures/NAME.svg`, `.png` and `.csv`, also of the curves of each arm that the page of a large study leaves out, and `tables/NAME.tex`, and `data/results.parquet` and `data/scores.parquet` with the rows of the CSV files.
  """
  files = {}
  for picture in every_picture(content):
    for ending, data in (('svg', picture.svg.encode()), ('png', picture.png), ('csv', picture.csv.encode())):
      files[f'{REPORT_FOLDER}/figures/{picture.name}.{ending}'] = data
  for name, table in every_table(content):
    files[f'{REPORT_FOLDER}/tables/{name}.tex'] = latex.tabular(table).encode()
  for name, frame in (('results', results_frame(content.study, content.rows)), ('scores', score_frame(content.study))):
    files[f'{REPORT_FOLDER}/data/{name}.parquet'] = frame.to_parquet(index=False)
  return files


def every_picture(content: Content) -> list[Picture]:
  drawn: Pictures = figures.draw(content)
  arms = drawn.arms
  if content.is_large:
    with svg.drawing():
      arms = figures.training(content)
  pairs = [picture for pair in drawn.points for picture in pair]
  return [*drawn.plane, *drawn.shares, *pairs, *drawn.sources, *drawn.learning, *drawn.tasks, *itertools.chain(*drawn.paper.values()), *arms]


def every_table(content: Content) -> Iterator[tuple[str, Table]]:
  """(name of the file, table) of all that the page shows, but for the ledgers of single stages."""
  compared = bool(content.study.baseline)
  if content.claims:
    yield 'claims', claim_table(content.claims)
  yield 'summary', tables.summary(content)
  for number, table in enumerate(shares.tables(content), 1):
    yield f'shares-of-code-{number}', table
  yield 'bits-per-byte', tables.bits_by_stage(content)
  if compared:
    yield 'changes', tables.changes_by_stage(content)
  if content.suite.aggregates:
    yield 'aggregates', suite_tables.aggregates(content)
    if compared:
      yield 'aggregate-changes', suite_tables.aggregate_changes(content)
  for group in content.suite.groups:
    if group.scored:
      yield f'{_name(group.label)}-scores', suite_tables.scores(content, group)
    for title, table in suite_tables.details(content, group):
      yield f'{_name(group.label)}-{_name(title)}', table
  if content.suite.judges:
    yield 'judged', judge_table.judged(content)
  yield from (paper_figures.tables(content) | judged_pairs.tables(content)).items()
  yield 'mixtures', tables.shares(content)
  yield 'costs', tables.costs(content)


def _name(title: str) -> str:
  return re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')
