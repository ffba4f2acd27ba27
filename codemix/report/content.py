"""What a report says: the numbers of a study, gathered once for every format."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from codemix import formatting
from codemix.report import comparison, palette, remarks
from codemix.report.arms import arms, baseline_arms
from codemix.report.claims import Judged, judge_claims
from codemix.report.comparison import Measure, Row
from codemix.report.margins import Margins
from codemix.report.palette import Paint
from codemix.report.provenance import in_words, spaced
from codemix.report.results import StageResults, StudyResults
from codemix.report.suite import Suite, clean_scores, gather_suite
from codemix.report.tree import Node, flat, stage_tree
from codemix.studies.arms import Arm
from codemix.training import goodput
from codemix.training.goodput import Times

# With more runs a page has no line for each seed, no curves of each arm and no ledger of each stage that is as planned: it would be
# tens of megabytes, which nobody reads.
MANY_RUNS = 64


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
  """All that a report shows.

  Attributes:
    measures: by validation source, and by the names in `pooled`.
    pooled: the name of the measure over all validation sources of a kind, by the kind.
    rows: of the recipes. arm_rows: of the arms.
    suite: the benchmarks.
    clean: scores on clean items, by stage folder and task (`clean_task_scores`); {} if there is no scan.
    claims: with their verdicts; [] if the study never had one.
    missing: a sentence for each thing that a finished study would have.
    notes: a sentence for each thing to mind in reading the figures.
    caveat: (in a sentence, why) what the report cannot show.
    arm_paints: also by recipe. source_paints: by source.
    margins: of equivalence in tables of changes.
    made: tables so far (`table.once`).
  """

  study: StudyResults
  measures: Mapping[str, Measure]
  pooled: Mapping[str, str]
  models: Sequence[Model]
  rows: Sequence[Row]
  arm_rows: Sequence[Row]
  tree: Sequence[Node]
  suite: Suite
  clean: Mapping[str, Mapping[str, Mapping[str, float]]]
  claims: Sequence[Judged]
  missing: Sequence[str]
  notes: Sequence[str]
  caveat: tuple[str, str]
  arm_paints: Mapping[str, Paint]
  source_paints: Mapping[str, Paint]
  margins: Margins = Margins()
  made: dict[Any, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

  @property
  def is_large(self) -> bool:
    """Whether the page leaves out what it would have of each run (MANY_RUNS)."""
    return len(self.study.recipes) > MANY_RUNS

  @functools.cached_property
  def arms(self) -> list[Arm]:
    return [arm for model in self.models for arm in model.arms]

  @functools.cached_property
  def nodes(self) -> list[Node]:
    """The stages, each before those that begin with its model."""
    return flat(self.tree)

  @property
  def times(self) -> Times | None:
    """Where the time of all stages went, as far as it was written down."""
    known = [stage.times for stage in self.study.stages.values() if stage.times]
    return goodput.total(known) if known else None

  @property
  def outcomes(self) -> list[tuple[str, str]]:
    """(label, measure) of the summary: each kind, then each source whose kind is not declared."""
    alone = [source for source in self.study.validation_sources if source not in self.study.kinds]
    named = [*self.pooled.items(), *zip(alone, alone, strict=True)]
    return [(label, measure) for label, measure in named if self.measures[measure].totals]

  @property
  def has_steps(self) -> bool:
    """Whether checkpoints before the end of a stage were evaluated."""
    return any(stage.steps for stage in self.study.stages.values())

  @property
  def baseline_arm(self) -> str | None:
    return next((arm.name for arm in self.arms if self.study.baseline in arm.recipes), None)

  def baseline_of(self, arm: Arm) -> str | None:
    """The name of the arm that an arm is compared with; None if there is none."""
    return self._baselines.get(arm.name)

  def own_baseline_of(self, arm: Arm) -> str:
    """The name of the arm that an arm is compared with in place of the study's baseline (`Recipe.baseline`); '' if it has none."""
    own = self.study.recipes[arm.recipes[0]].baseline
    return self.baseline_of(arm) if own and own not in arm.recipes else ''

  @property
  def compared_with(self) -> str:
    """What changes are against, for captions."""
    owned = any(self.own_baseline_of(arm) for arm in self.arms)
    return f'{self.baseline_arm}, or the baseline of its own that an arm names' if owned else f'{self.baseline_arm}'

  @functools.cached_property
  def _baselines(self) -> dict[str, str]:
    arm_of = {recipe: arm.name for arm in self.arms for recipe in arm.recipes}
    return {arm_of[name]: arm_of[runs[0]] for name, runs in baseline_arms(self.study).items() if runs}

  def recipe_rows(self, recipe: str) -> list[Row]:
    return self._rows_of_recipe.get(recipe, [])

  def rows_of(self, arm: Arm) -> list[Row]:
    """The arm after each of its stages, over its seeds."""
    return self._rows_of_arm.get(arm.name, [])

  def latest(self, arm: Arm) -> Row | None:
    """The arm after the last of its stages that has been evaluated with some seed."""
    return next((row for row in reversed(self.rows_of(arm)) if row.bits), None)

  def seed_rows(self, arm: Arm, position: int) -> list[tuple[str, Row]]:
    """('seed 1', its row) of each recipe of an arm after a stage; empty for a single recipe."""
    if len(arm.recipes) == 1:
      return []
    return [(f'seed {self.study.recipes[recipe].seed}', self.recipe_rows(recipe)[position - 1]) for recipe in arm.recipes]

  def seed_lines(self, arm: Arm, position: int) -> list[tuple[str, Row]]:
    """The `seed_rows` that tables have lines for: none in a large study."""
    return [] if self.is_large else self.seed_rows(arm, position)

  @property
  def shown_ledgers(self) -> list[Node]:
    """The stages whose ledger is shown: in a large study those alone that are not as planned, or do not follow their parent's."""
    return [node for node in self.nodes if not self.is_large or node.as_planned is False or node.chain == 'broken']

  @functools.cached_property
  def _rows_of_arm(self) -> dict[str, list[Row]]:
    return _by_name(self.arm_rows)

  @functools.cached_property
  def _rows_of_recipe(self) -> dict[str, list[Row]]:
    return _by_name(self.rows)

  def shares(self, stage: StageResults) -> list[tuple[str, float]]:
    """(source, share of the loss tokens asked for); empty before the stage is planned."""
    return [(s, share) for s in self.study.training_sources if (share := stage.uses.get(s, {}).get('share'))]

  def mixture(self, stage: StageResults) -> str:
    """'90% text, 10% code'."""
    return ', '.join(f'{formatting.share(share)} {source}' for source, share in self.shares(stage)) or 'not planned yet'

  def samples(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(prompt, method) to (recipe, text) of every recipe, from its last stage that has samples; in a large study of one recipe an arm."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    names = [name for arm in self.arms for name in arm.recipes[:1]] if self.is_large else self.study.recipes
    for recipe in map(self.study.recipes.get, names):
      sampled = [samples for folder in recipe.stages if (samples := self.study.stages[folder].samples)]
      for sample in sampled[-1] if sampled else []:
        groups.setdefault((sample['prompt'], sample['method']), []).append((recipe.name, sample['text']))
    return groups


def gather(study: StudyResults, margins: Margins | None = None) -> Content:
  """All that a report shows. Raises UserError if stages were evaluated on different documents, or registered claims were changed."""
  measures, pooled = comparison.measures_by_source(study), {}
  for kind in dict.fromkeys(study.kinds[s] for s in study.validation_sources if s in study.kinds):
    sources = [source for source in study.validation_sources if study.kinds.get(source) == kind]
    pooled[kind] = sources[0] if len(sources) == 1 else f'all {kind}'
    if len(sources) > 1:
      measures[pooled[kind]] = comparison.measure(study, sources)
  groups = arms(study)
  rows = comparison.recipe_rows(study, measures)
  arm_rows = comparison.arm_rows(study, measures, groups)
  suite = gather_suite(study)
  clean, uncovered = clean_scores(study, suite)
  baselines = {row.name for row in arm_rows if row.is_baseline}
  paints = palette.arm_paints([arm.name for arm in groups], baselines)
  return Content(
    study=study,
    measures=measures,
    pooled=pooled,
    models=models(study),
    rows=rows,
    arm_rows=arm_rows,
    tree=stage_tree(study),
    suite=dataclasses.replace(suite, notes=[*suite.notes, *uncovered]),
    clean=clean,
    claims=judge_claims(study, measures, suite),
    missing=remarks.missing(study),
    notes=[*remarks.notes(study, measures, rows, arm_rows), *_left_out(study)],
    caveat=remarks.caveat(study, rows),
    arm_paints={recipe: paints[arm.name] for arm in groups for recipe in arm.recipes} | paints,
    source_paints=palette.source_paints(study.sources, study.kinds),
    margins=margins or Margins(),
  )


def _left_out(study: StudyResults) -> list[str]:
  if len(study.recipes) <= MANY_RUNS:
    return []
  return [
    f'This study has {len(study.recipes):,} runs, more than {MANY_RUNS}, so this page leaves out the lines of single seeds, the training curves of single arms, '
    'the ledgers that are as planned, and all samples but those of one seed of each arm. results.csv and scores.csv have every number of every run.'
  ]


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
  found: dict[str, list[Row]] = {}
  for row in rows:
    found.setdefault(row.name, []).append(row)
  return found


def models(study: StudyResults) -> list[Model]:
  """The models of the study, in the order of their first recipes."""
  of: dict[str, list[Arm]] = {}
  for arm in arms(study):
    of.setdefault(study.recipes[arm.recipes[0]].model_digest, []).append(arm)
  configurations = [study.recipes[group[0].recipes[0]].model for group in of.values()]
  differing = [
    key for key in dict.fromkeys(key for c in configurations for key in c)
    if key not in ('parameters', 'width') and len({in_words(c.get(key)) for c in configurations}) > 1
  ]  # fmt: skip
  sizes = [_size(configuration) for configuration in configurations]
  return [
    Model(
      # What else differs is named only if sizes do not tell the models apart.
      label=size if sizes.count(size) == 1 else ', '.join([size, *(f'{spaced(k)} {in_words(c.get(k))}' for k in differing)]),
      properties=[(spaced(key), in_words(value)) for key, value in c.items()],
      arms=group,
    )
    for size, c, group in zip(sizes, configurations, of.values(), strict=True)
  ]


def _size(model: Mapping[str, Any]) -> str:
  """'1.12M parameters, width 96', as far as it is known."""
  parts = [f'{formatting.tokens(model["parameters"])} parameters'] if 'parameters' in model else []
  return ', '.join([*parts, *([f'width {model["width"]}'] if 'width' in model else [])]) or 'model not recorded'
