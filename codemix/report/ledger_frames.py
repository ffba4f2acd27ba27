"""The data accounts of a study as frames: what each stage planned and drew, and each recipe's sums.

Tokens are loss tokens: those whose prediction counts in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from codemix.report.results import StageResults, StudyResults

if TYPE_CHECKING:
  import pandas as pd

# The columns of the ledger, in the order in which a person reads them.
LEDGER_COLUMNS = (
  'rows',
  'loss_tokens',
  'unique_tokens',
  'epochs',
  'epochs_cumulative',
  'documents',
  'padded_tokens',
  'cropped_tokens',
)


def accounts_frame(study: StudyResults) -> pd.DataFrame:
  """One row per stage folder x source of its mixture, planned beside realised.

  Columns: folder, source, kind, share (as asked), planned_share and realised_share (of the loss
  tokens), and planned_X, realised_X for each X of LEDGER_COLUMNS; NaN where not known (yet).
  """
  import pandas as pd

  rows = []
  for stage in study.stages.values():
    asked = {account['source']: account for account in (stage.plan or {}).get('sources', [])}
    planned = _by_source(stage, 'planned') or asked
    realised = _by_source(stage, 'realised')
    planned_total, realised_total = _loss_tokens(planned), _loss_tokens(realised)
    for source, plan in planned.items():
      real = realised.get(source, {})
      rows.append({
        'folder': stage.folder,
        'source': source,
        'kind': study.kind(source),
        'share': asked.get(source, plan).get('share', math.nan),
        'planned_share': _ratio(plan.get('loss_tokens'), planned_total),
        'realised_share': _ratio(real.get('loss_tokens'), realised_total),
        **{f'planned_{column}': plan.get(column, math.nan) for column in LEDGER_COLUMNS},
        **{f'realised_{column}': real.get(column, math.nan) for column in LEDGER_COLUMNS},
      })  # fmt: skip
  columns = ['folder', 'source', 'kind', 'share', 'planned_share', 'realised_share']
  columns += [f'{side}_{column}' for side in ('planned', 'realised') for column in LEDGER_COLUMNS]
  return pd.DataFrame(rows, columns=columns)


def recipes_frame(study: StudyResults) -> pd.DataFrame:
  """One row per recipe x stage, with the sums over the stages up to and including this one.

  Columns: recipe, position (1, 2, ...), last (bool), stage (name), folder, state, steps,
  steps_before, tokens, tokens_so_far, code_tokens_so_far, code_share_so_far. Tokens are the
  realised ones of a stage that is done, else the planned ones; NaN from the first stage on that is
  not even planned.
  """
  import pandas as pd

  rows = []
  for recipe in study.recipes.values():
    steps = tokens = code_tokens = 0
    for position, folder in enumerate(recipe.stages, 1):
      stage = study.stages[folder]
      accounts = _by_source(stage, 'realised') or (
        {account['source']: account for account in stage.plan['sources']} if stage.plan else None
      )
      stage_steps = stage.plan['steps'] if stage.plan else math.nan
      stage_tokens = _loss_tokens(accounts)
      tokens += stage_tokens
      code_tokens += _loss_tokens(accounts, [s for s in accounts or () if study.kind(s) == 'code'])
      rows.append({
        'recipe': recipe.name,
        'position': position,
        'last': position == len(recipe.stages),
        'stage': stage.name,
        'folder': folder,
        'state': stage.state,
        'steps': stage_steps,
        'steps_before': steps,
        'tokens': stage_tokens,
        'tokens_so_far': tokens,
        'code_tokens_so_far': code_tokens,
        'code_share_so_far': _ratio(code_tokens, tokens),
      })  # fmt: skip
      steps += stage_steps
  return pd.DataFrame(rows)


def _by_source(stage: StageResults, side: str) -> dict[str, dict]:
  """One side of the stage's ledger; empty while a stage in training has only part of its tokens."""
  finished = stage.state in ('trained', 'evaluated')
  if not stage.ledger or not (finished or side == 'planned'):
    return {}
  return {account['source']: account for account in stage.ledger.get(side, [])}


def _loss_tokens(accounts: dict[str, dict] | None, sources: Iterable[str] | None = None) -> float:
  """Of the sources named, or of all; NaN where there is no account."""
  if accounts is None:
    return math.nan
  return sum(accounts[name].get('loss_tokens', 0) for name in (accounts if sources is None else sources))


def _ratio(part: float | None, whole: float) -> float:
  return part / whole if part is not None and whole else math.nan
