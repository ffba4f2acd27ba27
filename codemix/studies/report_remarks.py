"""What a report says in words about its own limits: what it cannot show, what is missing, what to mind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from codemix.studies import comparison, formatting
from codemix.studies.comparison import Measure, Row
from codemix.studies.results import StudyResults

# Below a tenth of the study's smallest model (470M) or shortest run (200B tokens), a report says
# first that it shows the machinery (Aryabumi et al., arXiv 2408.10914, sections 2 and 3).
SMALL_PARAMETERS = 47e6
SMALL_TOKENS = 20e9
# Percentile intervals are too narrow below about this many documents.
FEW_DOCUMENTS = 30


def caveat(study: StudyResults, rows: Sequence[Row]) -> tuple[str, str]:
  """(in one sentence, why): what even a perfect run of this study could not show."""
  tokens = max((r.tokens_so_far for r in rows if formatting.known(r.tokens_so_far)), default=0)
  if study.model.get('parameters', 0) < SMALL_PARAMETERS or tokens < SMALL_TOKENS:
    return (
      'This shows the machinery, not the study’s finding.',
      'A model this small on this little data says nothing reliable about what code does to a language '
      'model: the study measured models of 470M and 2.8B parameters after 200B to 440B tokens. Here the '
      'size of an effect, and even its sign, may be another.',
    )
  return (
    'One training run stands behind each recipe.',
    'The intervals hold the choice of validation documents, not the spread between training runs with '
    'other seeds.',
  )


def missing(study: StudyResults) -> list[str]:
  """A sentence for each thing that a finished study has and this one has not."""
  lines = []
  for stage in study.stages.values():
    users = ', '.join(name for name, recipe in study.recipes.items() if stage.folder in recipe.stages)
    if stage.state == 'in training':
      lines.append(f'{stage.folder} has trained {len(stage.metrics)} of {stage.plan["steps"]} steps ({users}).')
    elif stage.state != 'evaluated':
      state = {'planned': 'planned but not trained', 'trained': 'trained but not evaluated'}
      lines.append(f'{stage.folder} is {state.get(stage.state, stage.state)} ({users}).')
    absent = [source for source in stage.scores if source not in stage.documents]
    if absent:
      lines.append(f'{stage.folder} has no per-document scores for {", ".join(absent)}: no intervals.')
  return lines


def notes(study: StudyResults, measures: Mapping[str, Measure], rows: Sequence[Row]) -> list[str]:
  """What to mind in reading the figures: few documents, budgets that differ.

  Args:
    measures: of each validation source by itself.
  """
  return [*_sampled_documents(study), *_few_documents(measures), *_other_budgets(study, rows), *_uncompared(study, rows)]


def _sampled_documents(study: StudyResults) -> list[str]:
  """What `Study.validation_documents` left out."""
  scores = {name: score for stage in study.stages.values() for name, score in stage.scores.items() if 'of_documents' in score}
  parts = [f'{score["documents"]:,} of {score["of_documents"]:,} of {name}' for name, score in scores.items()]
  return [f'Validation documents scored: {", ".join(parts)}; the same ones for every stage.'] if parts else []


def _few_documents(measures: Mapping[str, Measure]) -> list[str]:
  few = [f'{name} ({m.documents})' for name, m in measures.items() if 0 < m.documents < FEW_DOCUMENTS]
  if not few:
    return []
  return [f'Fewer than {FEW_DOCUMENTS} validation documents: {", ".join(few)}. Intervals on so few are too narrow.']


def _other_budgets(study: StudyResults, rows: Sequence[Row]) -> list[str]:
  ends = {row.stage.folder: row.tokens_so_far for row in rows if row.recipe == study.baseline}
  lines = []
  for row in rows:
    base = ends.get(row.against, math.nan)
    if abs(row.tokens_so_far / base - 1) > comparison.SAME_TOKENS:
      lines.append(
        f'{row.recipe} ends after {formatting.tokens(row.tokens_so_far)} tokens and is compared with '
        f'{study.baseline} after {formatting.tokens(base)}: the change holds the difference in budget too.'
      )
  return lines


def _uncompared(study: StudyResults, rows: Sequence[Row]) -> list[str]:
  alone = [f'{row.recipe} after {row.stage.name}' for row in rows if row.bits and row.against is None]
  if study.baseline is None or not alone:
    return []
  return [f'Not compared, since no stage of {study.baseline} ends after as many tokens: {", ".join(alone)}.']
