"""The numbers of a study as pandas frames: the ledger, and `results.csv`.

Tokens are loss tokens: those whose prediction counts in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codemix.evaluation.statistics import Estimate
from codemix.report.arms import arms, baselines
from codemix.report.comparison import Row, measures_by_source, recipe_rows
from codemix.report.results import StageResults, StudyResults, read_study, tokens_of
from codemix.studies.fields import field_columns

if TYPE_CHECKING:
  import pandas as pd

# The columns of the ledger, in the order in which a person reads them.
LEDGER_COLUMNS = (
  'rows', 'tokens', 'loss_tokens', 'unique_tokens', 'epochs', 'epochs_cumulative', 'documents', 'padded_tokens', 'cropped_tokens',
)  # fmt: skip
SCORES = ('documents', 'tokens', 'bytes', 'nats', 'loss')
# Columns of whole numbers, by how their names end; pandas would make them floating-point where one is
# unknown.
COUNTS = ('rows', 'tokens', 'documents', 'bytes', 'steps', 'steps_before', 'tokens_so_far', 'seed', 'parameters')


def load_results(study_dir: Path | str) -> pd.DataFrame:
  """The numbers of a study, as in results.csv: one row per recipe x stage x source.

  Raises UserError if the folder is not that of a study or a file of it is damaged.
  """
  study = read_study(study_dir)
  return results_frame(study, recipe_rows(study, measures_by_source(study)))


def results_frame(study: StudyResults, rows: Sequence[Row]) -> pd.DataFrame:
  """All numbers of the study, tidy: one row per recipe x stage x source.

  A source is in it if any stage was trained or evaluated on it. Each of the recipes' fields is a column 'field_NAME'.

  Args:
    rows: of the recipes, with a measure for each validation source.
  """
  import pandas as pd

  base_of = baselines(study)
  arm_of = {recipe: arm.name for arm in arms(study) for recipe in arm.recipes}
  fields_of = field_columns({recipe.name: recipe.fields for recipe in study.recipes.values()})
  lines = []
  for row in rows:
    recipe = study.recipes[row.name]
    ledger = ledger_of(row.stage)
    for source in study.sources:
      lines.append({
        'arm': arm_of[recipe.name],
        'seed': math.nan if recipe.seed is None else recipe.seed,
        'parameters': recipe.model.get('parameters', math.nan),
        'recipe': recipe.name,
        **fields_of[recipe.name],
        'position': row.position,
        'last': row.last,
        'stage': row.stage.name,
        'folder': row.stage.folder,
        'state': row.stage.state,
        'steps': row.steps,
        'steps_before': row.steps_before,
        'tokens': row.tokens,
        'tokens_so_far': row.tokens_so_far,
        'code_tokens_so_far': row.code_tokens_so_far,
        'code_share_so_far': row.code_share,
        'baseline': base_of.get(recipe.name),
        'compared_with': row.against[0],
        'source': source,
        'kind': study.kinds.get(source),
        **{f'validation_{name}': row.stage.scores.get(source, {}).get(name, math.nan) for name in SCORES},
        **_interval('bits_per_byte', row.bits.get(source)),
        **_interval('change', row.changes.get(source)),
        **ledger.get(source, dict.fromkeys(_ledger_columns(), math.nan)),
      })  # fmt: skip
  frame = pd.DataFrame(lines)
  counts = [column for column in frame if column.endswith(COUNTS) and not column.endswith('effective_documents') and not column.startswith('field_')]
  return frame.astype(dict.fromkeys(counts, 'Int64'))


def ledger_of(stage: StageResults) -> dict[str, dict[str, float]]:
  """The ledger of a stage by source of its mixture, planned beside realised; NaN if it is unknown.

  Keys of each: share (as asked), planned_share and realised_share (of the loss tokens), and
  planned_X, realised_X for each X of LEDGER_COLUMNS.
  """
  asked, planned, realised = stage.uses, stage.planned, stage.realised
  return {
    source: {
      'share': asked.get(source, use).get('share', math.nan),
      'planned_share': _share(source, planned),
      'realised_share': _share(source, realised),
      **{f'planned_{column}': _amount(use, column) for column in LEDGER_COLUMNS},
      **{f'realised_{column}': _amount(realised.get(source, {}), column) for column in LEDGER_COLUMNS},
    }
    for source, use in planned.items()
  }


def _amount(use: Mapping[str, Any], column: str) -> float:
  return tokens_of(use) if column == 'tokens' else use.get(column, math.nan)


def _ledger_columns() -> list[str]:
  sides = [f'{side}_{column}' for side in ('planned', 'realised') for column in LEDGER_COLUMNS]
  return ['share', 'planned_share', 'realised_share', *sides]


def _share(source: str, uses: Mapping[str, Mapping[str, Any]]) -> float:
  whole = sum(use['loss_tokens'] for use in uses.values())
  return uses[source]['loss_tokens'] / whole if whole and source in uses else math.nan


def _interval(name: str, estimate: Estimate | None) -> dict[str, float]:
  estimate = estimate or Estimate(math.nan)
  return {
    name: estimate.value,
    f'{name}_low': estimate.low,
    f'{name}_high': estimate.high,
    f'{name}_effective_documents': estimate.documents,
  }
