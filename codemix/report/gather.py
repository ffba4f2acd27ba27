"""What a report says, before it is a page: the numbers of a study, gathered once for every format."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codemix import formatting
from codemix.report import comparison, ledger_frames, remarks
from codemix.report.arms import Arm, arms
from codemix.report.comparison import Measure, Row
from codemix.report.results import StageResults, StudyResults
from codemix.report.tree import Node, stage_tree
from codemix.training import goodput
from codemix.training.goodput import Times

if TYPE_CHECKING:
  import pandas as pd

COMMAND_WIDTH = 90  # of a command on one line
# The names of the measures over all sources of a kind.
POOLED = {'text': 'all text', 'code': 'all code'}


@dataclasses.dataclass(frozen=True)
class Model:
  """A model of the study, and the arms that train it; only they are compared with each other.

  Attributes:
    label: its size in a few words, different for each model.
    properties: (what, value) of its configuration.
  """

  label: str
  properties: Sequence[tuple[str, str]]
  arms: Sequence[Arm]


@dataclasses.dataclass(frozen=True)
class Content:
  study: StudyResults
  measures: Mapping[str, Measure]  # by validation source, and 'all text' and 'all code' pooled
  models: Sequence[Model]
  rows: Sequence[Row]  # of recipes
  arm_rows: Sequence[Row]
  accounts: pd.DataFrame
  results: pd.DataFrame
  tree: Sequence[Node]
  missing: Sequence[str]
  notes: Sequence[str]
  caveat: tuple[str, str]  # what the report cannot show: in a word, and why

  @property
  def arms(self) -> list[Arm]:
    return [arm for model in self.models for arm in model.arms]

  def recipe_rows(self, recipe: str) -> list[Row]:
    return [row for row in self.rows if row.name == recipe]

  def rows_of(self, arm: Arm) -> list[Row]:
    """The arm after each of its stages, over its seeds."""
    return [row for row in self.arm_rows if row.name == arm.name]

  def latest(self, arm: Arm) -> Row | None:
    """The arm after the last of its stages that has been evaluated with some seed."""
    evaluated = [row for row in self.rows_of(arm) if row.bits]
    return evaluated[-1] if evaluated else None

  def seed_rows(self, arm: Arm, position: int) -> list[tuple[str, Row]]:
    """('seed 1', its row) of each recipe of an arm after a stage; none where the arm is one recipe."""
    if len(arm.recipes) == 1:
      return []
    found = {row.name: row for row in self.rows if row.position == position}
    return [(f'seed {self.study.recipes[recipe].seed}', found[recipe]) for recipe in arm.recipes]


def gather(study: StudyResults) -> Content:
  """All that a report shows.

  Raises:
    UserError: stages were evaluated on different documents.
  """
  by_source = {source: comparison.measure(study, [source]) for source in study.validation_sources}
  pooled = {}
  for kind, name in POOLED.items():
    sources = [source for source in by_source if study.kind(source) == kind]
    # One source pooled is that source.
    pooled[name] = by_source[sources[0]] if len(sources) == 1 else comparison.measure(study, sources)
  measures = by_source | pooled
  rows = comparison.recipe_rows(study, measures)
  arm_rows = comparison.arm_rows(study, measures)
  return Content(
    study=study,
    measures=measures,
    models=models(study),
    rows=rows,
    arm_rows=arm_rows,
    accounts=ledger_frames.accounts_frame(study),
    results=comparison.results_frame(study, by_source),
    tree=stage_tree(study),
    missing=remarks.missing(study),
    notes=remarks.notes(study, measures, rows, arm_rows),
    caveat=remarks.caveat(study, rows),
  )


def models(study: StudyResults) -> list[Model]:
  """The models of the study, in the order of their first recipes."""
  of: dict[str, list[Arm]] = {}
  for arm in arms(study):
    of.setdefault(study.recipes[arm.recipes[0]].model_digest, []).append(arm)
  configurations = [study.recipes[group[0].recipes[0]].model for group in of.values()]
  differing = [
    key for key in dict.fromkeys(key for c in configurations for key in c)
    if key not in ('parameters', 'width') and len({_text(c.get(key)) for c in configurations}) > 1
  ]  # fmt: skip
  sizes = [_size(configuration) for configuration in configurations]
  return [
    Model(
      # What differs beside the size is named only where sizes do not tell the models apart.
      label=size if sizes.count(size) == 1 else ', '.join([size, *(f'{_words(k)} {_text(c.get(k))}' for k in differing)]),
      properties=[(_words(key), _text(value)) for key, value in c.items()],
      arms=group,
    )
    for size, c, group in zip(sizes, configurations, of.values(), strict=True)
  ]


def _size(model: Mapping[str, Any]) -> str:
  """'1.12M parameters, width 96', as far as it is known."""
  parts = [f'{formatting.tokens(model["parameters"])} parameters'] if 'parameters' in model else []
  return ', '.join([*parts, *([f'width {model["width"]}'] if 'width' in model else [])]) or 'model not recorded'


def shares(study: StudyResults, stage: StageResults) -> list[tuple[str, float]]:
  """(source, share of the loss tokens asked for), text before code; empty before it is planned."""
  asked = {s['source']: s['share'] for s in stage.plan['sources']} if stage.plan else {}
  return [(source, asked[source]) for source in study.training_sources if asked.get(source)]


def times(nodes: Iterable[Node]) -> Times | None:
  """Where the time of these stages went, as far as it was written down."""
  known = [node.stage.times for node in nodes if node.stage.times]
  return goodput.total(known) if known else None


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


def command(study: StudyResults) -> str:
  """The study's command as it can be pasted into a shell, an argument a line where it is long.

  Commands are recorded as `shlex.join` writes them, which takes '"'"' for each quote within an
  argument; double quotes around it read better. One that was recorded otherwise is left as it is.
  """
  recorded = study.provenance.get('command') or 'the command was not recorded'
  try:
    words = shlex.split(recorded)
  except ValueError:
    return recorded
  if shlex.join(words) != recorded:
    return recorded
  quoted = [f'"{word}"' if "'" in word and not set(word) & set('"$`\\!\n') else shlex.quote(word) for word in words]
  line = ' '.join(quoted)
  return line if len(line) < COMMAND_WIDTH else ' \\\n  '.join(_by_flag(quoted))


def _by_flag(words: Sequence[str]) -> list[str]:
  """The words of a command, each flag with the values after it on one line."""
  lines: list[list[str]] = []
  for word in words:
    if not lines or word.lstrip('\'"').startswith('-'):
      lines.append([word])
    else:
      lines[-1].append(word)
  return [' '.join(line) for line in lines]


def provenance(study: StudyResults) -> list[tuple[str, str]]:
  """(what, value) of all that is needed to repeat the study, but for its command."""
  names = {'date': 'date', 'git': 'revision', 'seed': 'seed', 'python': 'Python', 'platform': 'platform'}
  names |= {'cpu_count': 'processor cores', 'tokenizer_digest': 'tokenizer', 'corpora_digest': 'corpora'}
  record = study.provenance
  lines = [(label, _text(record[key])) for key, label in names.items() if record.get(key) is not None]
  known = {*names, 'versions', 'command'}
  lines += [(_words(key), _text(value)) for key, value in record.items() if key not in known]
  return lines + [(package, _text(v)) for package, v in record.get('versions', {}).items()]


def _words(key: str) -> str:
  return key.replace('_', ' ')


def _text(value: Any) -> str:
  if isinstance(value, Mapping):
    return ', '.join(f'{key} {_text(inner)}' for key, inner in value.items())
  if isinstance(value, list | tuple):
    return ', '.join(map(_text, value))
  return f'{value:,}' if isinstance(value, int) and abs(value) >= 10_000 else str(value)
