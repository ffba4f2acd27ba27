"""What a report says, before it is a page: the numbers of a study, gathered once for every format."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.studies import accounts, comparison, formatting
from codemix.studies.comparison import Measure
from codemix.studies.results import StageResults, StudyResults

if TYPE_CHECKING:
  import pandas as pd

# Below a tenth of the study's smallest model (470M) or shortest run (200B tokens), a report says
# first that it shows the machinery (Aryabumi et al., arXiv 2408.10914, sections 2 and 3).
SMALL_PARAMETERS = 47e6
SMALL_TOKENS = 20e9
# Percentile intervals are too narrow below about this many documents.
FEW_DOCUMENTS = 30


@dataclasses.dataclass(frozen=True)
class Row:
  """A recipe after one of its stages: a line of the results table.

  bits and changes: by the keys of Content.measures; no entry where there is no figure.
  against: where the comparison is with another model: the baseline's stage.
  """

  recipe: str
  position: int
  last: bool
  stage: StageResults
  tokens: float
  tokens_so_far: float
  code_share: float
  bits: Mapping[str, Estimate]
  changes: Mapping[str, Estimate]
  against: str | None
  is_baseline: bool  # the model compared with is this very model


@dataclasses.dataclass(frozen=True)
class Node:
  """A stage in the tree of stages, with what grows out of it."""

  stage: StageResults
  recipes: Sequence[str]  # all that run through it
  ends: Sequence[str]  # those that end with it
  tokens: float
  seconds: float  # NaN where no time was logged
  tokens_per_second: float
  flops: float
  chain: str  # of the ledger: 'start', 'linked', 'broken' or 'none'
  children: Sequence[Node]

  @property
  def users(self) -> str:
    """The recipes that run through it, as short as it can be said: hashes tell people nothing."""
    return ' and '.join(self.recipes) if len(self.recipes) < 3 else f'{len(self.recipes)} recipes'


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


POOLED = {'text': 'all text', 'code': 'all code'}


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
  rows = _rows(study, measures)
  return Content(
    study=study,
    measures=measures,
    rows=rows,
    accounts=accounts.accounts_frame(study),
    results=comparison.results_frame(study, by_source),
    tree=_tree(study),
    missing=_missing(study),
    notes=_notes(study, by_source, rows),
    caveat=_caveat(study, rows),
  )


def _rows(study: StudyResults, measures: Mapping[str, Measure]) -> list[Row]:
  against = comparison.counterparts(study)
  rows = []
  for line in accounts.recipes_frame(study).itertuples():
    base = against.get((line.recipe, line.position))
    pair = (line.folder, base)
    rows.append(
      Row(
        recipe=line.recipe,
        position=line.position,
        last=line.last,
        stage=study.stages[line.folder],
        tokens=line.tokens,
        tokens_so_far=line.tokens_so_far,
        code_share=line.code_share_so_far,
        bits={name: m.bits[line.folder] for name, m in measures.items() if line.folder in m.bits},
        changes={name: m.changes[pair] for name, m in measures.items() if pair in m.changes},
        against=base,
        is_baseline=base == line.folder,
      )
    )
  return rows


def _tree(study: StudyResults) -> list[Node]:
  parents = {}
  for recipe in study.recipes.values():
    for parent, folder in zip((None, *recipe.stages), recipe.stages, strict=False):
      parents.setdefault(folder, parent)

  def node(folder: str) -> Node:
    stage = study.stages[folder]
    plan = stage.plan or {}
    parent = parents[folder]
    rates = stage.timing.get('tokens_per_second')
    seconds = stage.timing.get('seconds')
    tokens = sum(s['loss_tokens'] for s in plan['sources']) if plan else math.nan
    return Node(
      stage=stage,
      recipes=[name for name, recipe in study.recipes.items() if folder in recipe.stages],
      ends=[name for name, recipe in study.recipes.items() if recipe.stages[-1:] == (folder,)],
      tokens=tokens,
      seconds=math.nan if seconds is None else float(seconds.sum()),
      tokens_per_second=math.nan if rates is None else float(rates.median()),
      flops=tokens * plan.get('flops_per_token', math.nan),
      chain=_chain(stage, study.stages[parent] if parent else None),
      children=[node(child) for child, above in parents.items() if above == folder],
    )

  return [node(folder) for folder, parent in parents.items() if parent is None]


def _chain(stage: StageResults, parent: StageResults | None) -> str:
  """Whether the stage's ledger names its parent's as what came before it."""
  if stage.ledger is None:
    return 'none'
  before = parent.ledger['hash'] if parent and parent.ledger else None
  if stage.ledger.get('parent_hash') != before:
    return 'broken'
  return 'linked' if parent else 'start'


def flat(tree: Sequence[Node]) -> list[Node]:
  """The nodes from the roots down, each before what grows out of it."""
  return [inner for node in tree for inner in (node, *flat(node.children))]


def shares(study: StudyResults, stage: StageResults) -> list[tuple[str, float]]:
  """(source, share of the loss tokens asked for), text before code; empty before it is planned."""
  asked = {s['source']: s['share'] for s in stage.plan['sources']} if stage.plan else {}
  return [(source, asked[source]) for source in study.training_sources if asked.get(source)]


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


def _missing(study: StudyResults) -> list[str]:
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


def _notes(study: StudyResults, measures: Mapping[str, Measure], rows: Sequence[Row]) -> list[str]:
  notes = []
  few = [f'{name} ({m.documents})' for name, m in measures.items() if 0 < m.documents < FEW_DOCUMENTS]
  if few:
    notes.append(
      f'Fewer than {FEW_DOCUMENTS} validation documents: {", ".join(few)}. Intervals on so few are too narrow.'
    )
  ends = {row.stage.folder: row.tokens_so_far for row in rows if row.recipe == study.baseline}
  for row in rows:
    base = ends.get(row.against, math.nan)
    if abs(row.tokens_so_far / base - 1) > comparison.SAME_TOKENS:
      notes.append(
        f'{row.recipe} ends after {formatting.tokens(row.tokens_so_far)} tokens and is compared with '
        f'{study.baseline} after {formatting.tokens(base)}: the change holds the difference in budget too.'
      )
  uncompared = [r for r in rows if r.bits and r.against is None] if study.baseline else []
  if uncompared:
    notes.append(
      f'{len(uncompared)} stages have no change against the baseline: no stage of {study.baseline} '
      'ends after as many tokens.'
    )
  return notes


def _caveat(study: StudyResults, rows: Sequence[Row]) -> tuple[str, str]:
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
