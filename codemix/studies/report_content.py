"""What a report says, before it is a page: the numbers of a study, gathered once for every format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codemix.evaluation import statistics
from codemix.studies import accounts, comparison, formatting, report_remarks
from codemix.studies.comparison import Measure, Row
from codemix.studies.results import StageResults, StudyResults
from codemix.studies.stage_tree import Node, stage_tree
from codemix.training import time_account
from codemix.training.time_account import Times

if TYPE_CHECKING:
  import pandas as pd

# The names of the measures over all sources of a kind.
POOLED = {'text': 'all text', 'code': 'all code'}


@dataclasses.dataclass(frozen=True)
class Content:
  study: StudyResults
  measures: Mapping[str, Measure]  # by validation source, and 'all text' and 'all code' pooled
  rows: Sequence[Row]
  accounts: pd.DataFrame
  results: pd.DataFrame
  tree: Sequence[Node]
  missing: Sequence[str]
  notes: Sequence[str]
  caveat: tuple[str, str]  # what the report cannot show: in a word, and why

  def recipe_rows(self, recipe: str) -> list[Row]:
    return [row for row in self.rows if row.recipe == recipe]

  def latest(self, recipe: str) -> Row | None:
    """The recipe after the last of its stages that has been evaluated."""
    evaluated = [row for row in self.recipe_rows(recipe) if row.bits]
    return evaluated[-1] if evaluated else None


def gather(study: StudyResults, resamples: int = statistics.RESAMPLES, seed: int = 0) -> Content:
  """All that a report shows.

  Raises:
    UserError: stages were evaluated on different documents.
  """
  by_source = {s: comparison.measure(study, [s], resamples, seed) for s in study.validation_sources}
  pooled = {}
  for kind, name in POOLED.items():
    sources = [source for source in by_source if study.kind(source) == kind]
    # One source pooled is that source: no need to draw its documents again.
    pooled[name] = (
      by_source[sources[0]] if len(sources) == 1 else comparison.measure(study, sources, resamples, seed)
    )
  measures = by_source | pooled
  rows = comparison.results_rows(study, measures)
  return Content(
    study=study,
    measures=measures,
    rows=rows,
    accounts=accounts.accounts_frame(study),
    results=comparison.results_frame(study, by_source),
    tree=stage_tree(study),
    missing=report_remarks.missing(study),
    notes=report_remarks.notes(study, by_source, rows),
    caveat=report_remarks.caveat(study, rows),
  )


def shares(study: StudyResults, stage: StageResults) -> list[tuple[str, float]]:
  """(source, share of the loss tokens asked for), text before code; empty before it is planned."""
  asked = {s['source']: s['share'] for s in stage.plan['sources']} if stage.plan else {}
  return [(source, asked[source]) for source in study.training_sources if asked.get(source)]


def times(nodes: Iterable[Node]) -> Times | None:
  """Where the time of these stages went, as far as it was written down."""
  known = [node.stage.times for node in nodes if node.stage.times]
  return time_account.total(known) if known else None


def verdict(content: Content, stage: StageResults) -> str:
  """Whether a stage drew exactly what was planned: 'yes', 'NO', or that it is not known yet."""
  lines = content.accounts[content.accounts.folder == stage.folder]
  planned, realised = lines.planned_loss_tokens, lines.realised_loss_tokens
  if lines.empty or realised.isna().any():
    return 'not known yet'
  return 'yes' if (planned == realised).all() else 'NO'


def sharing(study: StudyResults) -> str:
  """A sentence on what training common beginnings once has saved."""
  saved = study.savings
  if not saved:
    return 'Recipes that begin alike share those stages: each is trained once.'
  alone, trained = saved['stage_tokens_alone'], saved['stage_tokens_trained']
  return (
    f'Recipes that begin alike share those stages. One by one the recipes need {saved["stages_alone"]} '
    f'stages and {formatting.tokens(alone)} tokens; together they were {saved["stages_trained"]} stages and '
    f'{formatting.tokens(trained)} tokens, {formatting.percent(1 - trained / alone if alone else 0, 0)} less.'
  )


def sample_groups(content: Content) -> dict[tuple[str, str], list[tuple[str, str]]]:
  """(prompt, method) to (recipe, text) of every recipe, from the last stage that has samples."""
  groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
  for recipe in content.study.recipes:
    sampled = [row.stage for row in content.recipe_rows(recipe) if row.stage.samples]
    for sample in sampled[-1].samples if sampled else []:
      key = (sample['prompt'], sample.get('method', ''))
      groups.setdefault(key, []).append((recipe, sample['text']))
  return groups


def provenance(study: StudyResults) -> list[tuple[str, str]]:
  """(what, value) of all that is needed to repeat the study, but for its command."""
  names = {'date': 'date', 'git': 'revision', 'seed': 'seed', 'python': 'Python', 'platform': 'platform'}
  names |= {'cpu_count': 'processor cores', 'tokenizer_digest': 'tokenizer', 'corpora_digest': 'corpora'}
  record = study.provenance
  lines = [(label, _text(record[key])) for key, label in names.items() if record.get(key) is not None]
  known = {*names, 'versions', 'command'}
  lines += [(key.replace('_', ' '), _text(value)) for key, value in record.items() if key not in known]
  return lines + [(package, _text(v)) for package, v in record.get('versions', {}).items()]


def model(study: StudyResults) -> list[tuple[str, str]]:
  return [(key.replace('_', ' '), _text(value)) for key, value in study.model.items()]


def _text(value: Any) -> str:
  if isinstance(value, Mapping):
    return ', '.join(f'{key} {_text(inner)}' for key, inner in value.items())
  if isinstance(value, list | tuple):
    return ', '.join(map(_text, value))
  return f'{value:,}' if isinstance(value, int) and abs(value) >= 10_000 else str(value)
