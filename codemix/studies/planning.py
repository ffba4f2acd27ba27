"""Plans a study: every stage is decided, and every mistake reported, before the first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from codemix.data.batches.loss_shares import rows_by_loss_tokens
from codemix.data.batches.matched import companions, epoch_rows
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor, Source
from codemix.data.batches.source_use import plan_uses
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.data.order.targets import Segment, constant
from codemix.data.settings import Data
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError, nearest
from codemix.models.config import ModelConfig
from codemix.parallel.coordination import from_first
from codemix.studies.recipe import Recipe, Study
from codemix.studies.seqio_mixtures import expand_study
from codemix.studies.sources_of import scored_names, source_names
from codemix.studies.stage_identity import earlier_hash, stage_identity
from codemix.studies.starts import check_starts, continue_sources, open_start, rates_before
from codemix.training.stage import Rates, Stage, StagePlan, cursors_at_start, rates_of
from codemix.training.start import Start


@dataclasses.dataclass(frozen=True)
class StudyPlan:
  """A study with every stage decided.

  Attributes:
    study: as written.
    recipes: the plans of each recipe's stages, in order; stages that recipes
      share are the same object.
    tokenizer: of the run.
    sources: the training rows of every source, by name, in rows of the first recipe's length; all prepared or all streamed.
    kinds: what sources are, trained on or scored, as far as it is declared (`Data.kind`).
    other_lengths: the same in rows of the lengths of other recipes (`sources_of`).
  """

  study: Study
  recipes: Mapping[str, list[StagePlan]]
  tokenizer: Tokenizer
  sources: Mapping[str, Source]
  kinds: Mapping[str, str]
  other_lengths: Mapping[int, Mapping[str, Source]] = dataclasses.field(default_factory=dict)

  def sources_of(self, length: int) -> Mapping[str, Source]:
    """The training rows of every source in rows of so many tokens, a length that some recipe has."""
    return self.other_lengths.get(length, self.sources)

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
    """What is saved by training each shared stage once, in tokens and stages."""
    alone = [plan for plans in self.recipes.values() for plan in plans]
    return {
      'stage_tokens_alone': sum(plan.tokens for plan in alone),
      'stage_tokens_trained': sum(plan.tokens for plan in self.stages()),
      'stages_alone': len(alone),
      'stages_trained': len(self.stages()),
    }


def plan_study(study: Study, data: Data) -> StudyPlan:
  """Opens what is prepared and plans every stage of every recipe.

  Raises UserError if a start cannot be begun with, a source is missing, damaged or too small, a model does not fit the tokenizer,
  or a schedule has no curve.
  """
  study = expand_study(study, data)
  check_starts(study, data)
  tokenizer = data.load_tokenizer()
  for name, recipe in study.recipes.items():
    _check_vocabulary(name, recipe.model, tokenizer)
  sources, *others = _open_sources(study, data, tokenizer).items()
  inputs = {length: _Inputs(of_length, tokenizer, data.root / 'orders') for length, of_length in (sources, *others)}
  planned: dict[str, StagePlan] = {}
  # A stage after a start may also be one of a whole recipe; that plan knows the stages before it.
  whole_first = sorted(study.recipes, key=lambda name: study.recipes[name].start is not None)
  planned_recipes = {name: _plan_recipe(name, study.recipes[name], inputs[study.recipes[name].length], planned) for name in whole_first}
  plans = {name: planned_recipes[name] for name in study.recipes}
  return StudyPlan(study, plans, tokenizer, sources[1], _kinds([*sources[1], *scored_names(study)], data), dict(others))


def _kinds(names: list[str], data: Data) -> dict[str, str]:
  kinds = {name: kind for name in names if (kind := data.kind(name))}
  for name in data.kinds:
    if name not in names and (meant := nearest(name, [source for source in names if source not in data.kinds])):
      raise UserError(f"Data.kinds names '{name}', which is not a source of this study.{meant}")
  return kinds


def _open_sources(study: Study, data: Data, tokenizer: Tokenizer) -> dict[int, Mapping[str, Source]]:
  """The sources by row length, that of the first recipe first."""
  names, recipes = source_names(study), list(study.recipes.values())
  lengths = dict.fromkeys(recipe.length for recipe in recipes)
  if not data.streaming:
    stores = {name: data.open_store(name, 'train', tokenizer) for name in [*names, *companions(data.matched, names)]}
    return {length: _in_rows(stores, names, length, data, tokenizer) for length in lengths}
  from codemix.data.open_stream import open_stream  # readers of raw files, SeqIO

  if len(limits := {recipe.max_epochs for recipe in recipes}) > 1:
    raise UserError(f'with Data.streaming the recipes of a study have one Recipe.max_epochs, and these have {sorted(limits)}.')
  return {length: {name: open_stream(name, data, tokenizer, length, *limits) for name in names} for length in lengths}


def _in_rows(stores: Mapping[str, TokenStore], names: list[str], length: int, data: Data, tokenizer: Tokenizer) -> dict[str, Source]:
  whole = {name: PreparedSource(name, store, length, tokenizer.bos_id) for name, store in stores.items()}
  bounds = epoch_rows(data.matched, {name: len(source) for name, source in whole.items()})
  return {name: dataclasses.replace(whole[name], most_rows=bounds.get(name)) for name in names}


class _Inputs(NamedTuple):
  """What all stages of one row length are planned from; `orders` is the folder for the orders of long stages."""

  sources: Mapping[str, Source]
  tokenizer: Tokenizer
  orders: Path


def _plan_recipe(name: str, recipe: Recipe, inputs: _Inputs, planned: dict[str, StagePlan]) -> list[StagePlan]:
  plans: list[StagePlan] = []
  start = open_start(recipe, where := f"recipe '{name}'")
  if start:
    start = continue_sources(start, recipe, inputs.sources, where)
  # Kept apart from the plans: recipes that share a stage may continue on different curves.
  rates = rates_before(start)
  for stage in recipe.stages:
    before = plans[-1] if plans else start
    plan, rates = _plan_stage(stage, before, rates, recipe, inputs, f"{where}, stage '{stage.name}'")
    plans.append(planned.setdefault(plan.hash, plan))
  return plans


def _plan_stage(
  stage: Stage, before: StagePlan | Start | None, rates: Rates | None, recipe: Recipe, inputs: _Inputs, where: str
) -> tuple[StagePlan, Rates]:
  drawn = {name: inputs.sources[name] for name in stage.mixtures().drawn()}
  for source in drawn.values():
    source.require_row(where)
  steps = stage.steps(recipe.length)
  try:
    rates = rates_of(stage, steps, rates)
  except UserError as error:
    raise UserError(f'{where}: {error}') from None
  by_loss = stage.shares == 'loss_tokens'
  lengths = {name: source.loss_tokens_per_document if by_loss else source.tokens_per_document for name, source in drawn.items()}
  mixtures = stage.mixtures().resolve({name: length for name, length in lengths.items() if length})
  mean = mixtures.mean(stage.tokens).shares()
  cursors = cursors_at_start(stage, before)
  segments, shares = mixtures.row_segments(stage.tokens, steps * stage.batch), None
  if by_loss and len(drawn) > 1 and any(source.has_prompts for source in drawn.values()):
    segments, shares = _by_loss_tokens(mixtures, stage, drawn, cursors, steps * stage.batch, recipe.seed, where)
  uses = plan_uses(
    drawn,
    {name: mean[name] for name in drawn},
    segments,
    cursors,
    recipe.seed,
    max_epochs=recipe.max_epochs,
    where=where,
    orders=inputs.orders,
  )
  keeps_step = before is not None and stage.handoff.step == 'continue'
  first_step = before.last_step if keeps_step else 0
  digests = {name: source.fingerprint for name, source in drawn.items()}
  plan = StagePlan(
    stage=stage,
    parent=None if isinstance(before, Start) else before,
    start=before if isinstance(before, Start) else None,
    identity=stage_identity(
      stage,
      before,
      recipe,
      steps=steps,
      first_step=first_step,
      rates=rates,
      segments=segments,
      loss_shares=shares,
      digests=digests,
      tokenizer=inputs.tokenizer,
    ),
    earlier_hash=earlier_hash(
      stage,
      before,
      recipe,
      mixture=mixtures.describe(stage.tokens),
      digests=digests,
      tokenizer=inputs.tokenizer,
    ),
    steps=steps,
    first_step=first_step,
    length=recipe.length,
    seed=recipe.seed,
    mixtures=mixtures,
    draws=tuple(uses),
    segments=segments,
    orders=inputs.orders,
    rates=rates.values,
  )
  return plan, rates


def _by_loss_tokens(
  mixtures: MixtureSchedule, stage: Stage, drawn: Mapping[str, Source], cursors: Mapping[str, Cursor], rows: int, seed: int, where: str
) -> tuple[tuple[Segment, ...], dict[str, Fraction]]:
  """The segments of a stage whose shares are of loss tokens, where a row does not tell how many these are; and the shares."""
  if (shares := mixtures.constant(stage.tokens)) is None:
    prompts = [name for name, source in drawn.items() if source.has_prompts]
    raise UserError(
      f"{where}: its mixture changes along the stage, and '{prompts[0]}' has prompts: shares of loss tokens can only be constant. Bind Stage.shares = 'tokens', or "
      'divide the stage into several.'
    )
  # It may read whole stores, as the counts of documents do.
  return constant(from_first(lambda: rows_by_loss_tokens(drawn, shares, cursors, rows, seed))), shares


def _check_vocabulary(name: str, model: ModelConfig, tokenizer: Tokenizer) -> None:
  if model.vocab_size < tokenizer.vocab_size:
    raise UserError(
      f"recipe '{name}': ModelConfig.vocab_size is {model.vocab_size:,}, and the tokenizer has {tokenizer.vocab_size:,} entries. "
      f'Set ModelConfig.vocab_size to {tokenizer.vocab_size} or more.'
    )

