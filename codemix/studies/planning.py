"""Turns recipes into plans: every stage decided, and every mistake found, before the first step."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

from codemix.data.batches import ledger, stream
from codemix.data.batches.rows import Source
from codemix.data.batches.stream import StreamedSource
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.data.order.row_schedule import constant_shares
from codemix.data.order.targets import Segment
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.studies.recipe import Recipe, Study
from codemix.studies.seqio_mixtures import expand_study
from codemix.studies.stage_identity import earlier_hash, stage_identity
from codemix.training.stage import Rates, Stage, StagePlan, cursors_at_start, rates_of

Sources = Mapping[str, Source] | Mapping[str, StreamedSource]


@dataclasses.dataclass(frozen=True)
class StudyPlan:
  """A study with every stage decided.

  Attributes:
    study: as written.
    recipes: the plans of each recipe's stages, in order; stages that recipes
      share are the same object.
    tokenizer: of the run.
    sources: the training rows of every source, by name; of one row length each;
      all prepared or all streamed.
  """

  study: Study
  recipes: Mapping[str, list[StagePlan]]
  tokenizer: Tokenizer
  sources: Sources

  def stages(self) -> list[StagePlan]:
    """Each distinct stage once, parents first."""
    distinct = {}
    for plans in self.recipes.values():
      distinct.update({plan.hash: plan for plan in plans})
    return sorted(distinct.values(), key=lambda plan: len(plan.lineage()))

  def recipe_of(self, plan: StagePlan) -> Recipe:
    """A recipe that has this stage; all that have it agree on what it is."""
    name = next(name for name, plans in self.recipes.items() if plan in plans)
    return self.study.recipes[name]

  def savings(self) -> dict[str, int]:
    """What training each shared beginning once saves, in tokens and stages."""
    alone = [plan for plans in self.recipes.values() for plan in plans]
    return {
      'stage_tokens_alone': sum(plan.tokens for plan in alone),
      'stage_tokens_trained': sum(plan.tokens for plan in self.stages()),
      'stages_alone': len(alone),
      'stages_trained': len(self.stages()),
    }


def source_names(study: Study) -> list[str]:
  """The tasks that the study trains on, in the order in which they are first named."""
  drawn = [stage.mixtures().drawn() for recipe in study.recipes.values() for stage in recipe.stages]
  return list(dict.fromkeys(name for names in drawn for name in names))


def scored_names(study: Study) -> list[str]:
  """The tasks that every stage is scored on: those of Study.validation, and those of weight 0 in a mixture."""
  weightless = [
    stage.mixtures().evaluated_only() for recipe in study.recipes.values() for stage in recipe.stages
  ]
  trained = source_names(study)
  return list(
    dict.fromkeys([*study.validation, *(n for names in weightless for n in names if n not in trained)])
  )


def plan_study(study: Study, data: Data) -> StudyPlan:
  """Opens what is prepared and plans every stage of every recipe.

  Raises:
    UserError: a source that is missing, damaged or too small, a model that
      does not fit the tokenizer, or a schedule that makes no curve.
  """
  study = expand_study(study, data)
  tokenizer = data.load_tokenizer()
  planned: dict[str, StagePlan] = {}
  opened: dict[tuple, Sources] = {}
  recipes = {}
  sources: Sources = {}
  for name, recipe in study.recipes.items():
    _check_vocabulary(name, recipe.model, tokenizer)
    read_as = (recipe.length, recipe.max_epochs)
    if read_as not in opened:
      opened[read_as] = _open_sources(study, recipe, data, tokenizer)
    sources = opened[read_as]
    recipes[name] = _plan_recipe(name, recipe, sources, tokenizer, planned)
  lengths = {recipe.length for recipe in study.recipes.values()}
  if len(lengths) > 1:
    raise UserError(
      f'the recipes of a study have one row length, and these have {sorted(lengths)}; make each length a study of its own.'
    )
  return StudyPlan(study, recipes, tokenizer, sources)


def _open_sources(study: Study, recipe: Recipe, data: Data, tokenizer: Tokenizer) -> Sources:
  names = source_names(study)
  if data.streaming:
    from codemix.data.batches.open_stream import open_stream  # readers of raw files, SeqIO

    return {name: open_stream(name, data, tokenizer, recipe.length, recipe.max_epochs) for name in names}
  stores = {name: data.open_store(name, 'train', tokenizer) for name in names}
  return {name: Source(name, store, recipe.length, tokenizer.bos_id) for name, store in stores.items()}


def _plan_recipe(
  name: str, recipe: Recipe, sources: Sources, tokenizer: Tokenizer, planned: dict[str, StagePlan]
) -> list[StagePlan]:
  plans: list[StagePlan] = []
  # Not of the stage planned: recipes that share a stage may go on along different curves.
  rates: Rates | None = None
  for stage in recipe.stages:
    where = f"recipe '{name}', stage '{stage.name}'"
    parent = plans[-1] if plans else None
    plan, rates = _plan_stage(stage, parent, rates, recipe, sources, tokenizer, where)
    plans.append(planned.setdefault(plan.hash, plan))
  return plans


def _plan_stage(
  stage: Stage,
  parent: StagePlan | None,
  before: Rates | None,
  recipe: Recipe,
  sources: Sources,
  tokenizer: Tokenizer,
  where: str,
) -> tuple[StagePlan, Rates]:
  drawn = {name: sources[name] for name in stage.mixtures().drawn()}
  prepared = {name: source for name, source in drawn.items() if isinstance(source, Source)}
  ledger.check_sources(prepared, where)
  steps = stage.steps(recipe.length)
  try:
    rates = rates_of(stage, steps, before)
  except UserError as error:
    raise UserError(f'{where}: {error}') from None
  mixtures = stage.mixtures().resolve(
    {name: Fraction(source.store.tokens, source.store.documents) for name, source in prepared.items()}
  )
  mean = mixtures.mean(stage.tokens).shares()
  shares = {name: mean[name] for name in drawn}
  segments = _segments(mixtures, shares, stage.tokens, steps * stage.batch)
  draws = _plan_draws(drawn, shares, segments, cursors_at_start(stage, parent), recipe, where)
  keeps_step = parent is not None and stage.handoff.step == 'continue'
  first_step = parent.last_step if keeps_step else 0
  digests = {name: source.digest for name, source in drawn.items()}
  plan = StagePlan(
    stage=stage,
    parent=parent,
    identity=stage_identity(
      stage,
      parent,
      recipe,
      steps=steps,
      first_step=first_step,
      rates=rates,
      segments=segments,
      digests=digests,
      tokenizer=tokenizer,
    ),
    earlier_hash=earlier_hash(
      stage,
      parent,
      recipe,
      mixture=mixtures.describe(stage.tokens),
      digests=digests,
      tokenizer=tokenizer,
    ),
    steps=steps,
    first_step=first_step,
    length=recipe.length,
    seed=recipe.seed,
    mixtures=mixtures,
    draws=tuple(draws),
    segments=segments,
    rates=rates.values,
  )
  return plan, rates


def _plan_draws(
  drawn: Sources,
  shares: Mapping[str, Fraction],
  segments: Sequence[Segment],
  cursors: Mapping[str, ledger.Cursor],
  recipe: Recipe,
  where: str,
) -> list[ledger.SourceUse]:
  if isinstance(next(iter(drawn.values())), StreamedSource):
    return stream.plan_draws(drawn, shares, segments, cursors, where)
  draws = ledger.plan_draws(drawn, shares, segments, cursors, recipe.seed)
  ledger.check_epochs(draws, recipe.max_epochs, where)
  return draws


def _segments(
  mixtures: MixtureSchedule, shares: Mapping[str, Fraction], tokens: float, rows: int
) -> tuple[Segment, ...]:
  """How the sources' shares go along the rows of a stage."""
  spans = mixtures.segments(tokens)
  if len(spans) == 1 and spans[0].at_begin == spans[0].at_end:
    return constant_shares(shares, rows)
  bounds = [round(span.begin * rows) for span in spans] + [rows]
  return tuple(
    Segment(end - begin, tuple(span.at_begin[s] for s in shares), tuple(span.at_end[s] for s in shares))
    for span, (begin, end) in zip(spans, itertools.pairwise(bounds), strict=True)
    if end > begin
  )


def _check_vocabulary(name: str, model: ModelConfig, tokenizer: Tokenizer) -> None:
  if model.vocab_size < tokenizer.vocab_size:
    raise UserError(
      f"recipe '{name}': ModelConfig.vocab_size is {model.vocab_size:,}, and the tokenizer has {tokenizer.vocab_size:,} entries. "
      f'Set ModelConfig.vocab_size to {tokenizer.vocab_size} or more.'
    )

