"""The stages of a study as a tree: which recipes share them, and what each cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from codemix import formatting
from codemix.report.results import StageResults, StudyResults, tokens_of


@dataclasses.dataclass(frozen=True)
class Node:
  """A stage and the stages that begin with its model. Figures that were not logged (yet) are NaN.

  Attributes:
    stage: what was read of it.
    recipes: all that run through it.
    ends: those that end with it.
    steps, tokens: as planned.
    seconds: of the wall clock, with evaluation, start-up and what was lost to interruptions.
    goodput: the share of `seconds` spent on the steps that made the model.
    tokens_per_second: the median over the steps.
    flops: of training.
    begins_with: what `Recipe.start` named, in a few words; '' for a random initialisation and in
      later stages.
    chain: 'start' (no parent), 'continued' (from `Recipe.start`), 'linked' or 'broken': whether its
      ledger follows its parent's; 'none' before there is a ledger.
    as_planned: whether all of its sources gave the planned loss tokens; None if that is not known
      yet.
    children: the stages that begin with its model.
  """

  stage: StageResults
  recipes: Sequence[str]
  ends: Sequence[str]
  steps: float
  tokens: float
  seconds: float
  goodput: float
  tokens_per_second: float
  flops: float
  begins_with: str
  chain: str
  as_planned: bool | None
  children: Sequence[Node]

  @property
  def users(self) -> str:
    """The recipes that run through it, in few words."""
    return ' and '.join(self.recipes) if len(self.recipes) < 3 else f'{len(self.recipes)} recipes'


def stage_tree(study: StudyResults) -> list[Node]:
  """The first stages of the recipes, each with its tree; every stage is in it once."""
  parents: dict[str, str | None] = {}
  for recipe in study.recipes.values():
    for parent, folder in zip((None, *recipe.stages), recipe.stages, strict=False):
      parents.setdefault(folder, parent)
  children: dict[str | None, list[str]] = {}
  for folder, parent in parents.items():
    children.setdefault(parent, []).append(folder)
  users: dict[str, list[str]] = {}
  for recipe in study.recipes.values():
    for folder in dict.fromkeys(recipe.stages):
      users.setdefault(folder, []).append(recipe.name)
  return [_node(study, folder, parents, children, users) for folder in children.get(None, [])]


def flat(tree: Sequence[Node]) -> list[Node]:
  """The nodes from the roots down, each before its children."""
  return [inner for node in tree for inner in (node, *flat(node.children))]


def savings(study: StudyResults) -> str:
  """A sentence on what it saved to train common beginnings once."""
  saved = study.savings
  if not saved:
    return 'Recipes that begin alike share those stages: each is trained once.'
  alone, trained = saved['stage_tokens_alone'], saved['stage_tokens_trained']
  return (
    f'Recipes that begin alike share those stages. One by one the recipes need {saved["stages_alone"]} '
    f'stages and {formatting.tokens(alone)} tokens; together they were {saved["stages_trained"]} stages and '
    f'{formatting.tokens(trained)} tokens, {formatting.percent(1 - trained / alone if alone else 0, 0)} less.'
  )


def _node(
  study: StudyResults, folder: str, parents: Mapping[str, str | None], children: Mapping[str | None, Sequence[str]], users: Mapping[str, Sequence[str]]
) -> Node:
  stage = study.stages[folder]
  parent = parents[folder]
  plan = stage.plan or {}
  tokens = sum(tokens_of(use) for use in stage.uses.values()) if plan else math.nan
  times, speed = stage.times, stage.timing.get('tokens_per_second')
  return Node(
    stage=stage,
    recipes=users[folder],
    ends=[name for name in users[folder] if study.recipes[name].stages[-1] == folder],
    steps=plan.get('steps', math.nan),
    tokens=tokens,
    seconds=times.total if times else math.nan,
    goodput=times.goodput if times else math.nan,
    tokens_per_second=math.nan if speed is None else float(speed.median()),
    flops=tokens * plan.get('flops_per_token', math.nan),
    begins_with=_begins_with(study, folder) if parent is None else '',
    chain=_chain(stage, study.stages[parent] if parent else None),
    as_planned=_as_planned(stage),
    children=[_node(study, child, parents, children, users) for child in children.get(folder, [])],
  )


def _begins_with(study: StudyResults, folder: str) -> str:
  """The start of the first recipe whose first stage lies in the folder."""
  start = next(recipe.start for recipe in study.recipes.values() if recipe.stages[0] == folder)
  if not start:
    return ''
  kind = 'the imported model' if start.get('imported') else 'the stage'
  return f'{kind} {start.get("name", "")} ({start.get("hash", "")[:12]})'


def _chain(stage: StageResults, parent: StageResults | None) -> str:
  if stage.ledger is None:
    return 'none'
  if parent is None and stage.identity.get('parent'):
    return 'continued' if stage.ledger['parent_hash'] else 'broken'
  before = parent.ledger['hash'] if parent and parent.ledger else None
  if stage.ledger['parent_hash'] != before:
    return 'broken'
  return 'linked' if parent else 'start'


def _as_planned(stage: StageResults) -> bool | None:
  planned, realised = stage.planned, stage.realised
  if not planned or not planned.keys() <= realised.keys():
    return None
  return all(use['loss_tokens'] == realised[source]['loss_tokens'] for source, use in planned.items())
