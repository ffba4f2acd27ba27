"""The stages of a study as a tree: which recipes share which beginning, and what each stage cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from codemix.report.results import StageResults, StudyResults


@dataclasses.dataclass(frozen=True)
class Node:
  """A stage, with what grows out of it. Figures that were not logged (yet) are NaN.

  Attributes:
    stage: what was read of it.
    recipes: all that run through it.
    ends: those that end with it.
    tokens: loss tokens, as planned.
    seconds: of the wall clock, evaluation, start-up and what was lost to interruptions included.
    goodput: the share of `seconds` that went into the steps of which the model is made.
    tokens_per_second: the median over the steps.
    flops: of training.
    chain: whether its ledger follows its parent's: 'start' (no parent), 'linked', 'broken', or
      'none' before there is a ledger.
    children: the stages that begin with its model.
  """

  stage: StageResults
  recipes: Sequence[str]
  ends: Sequence[str]
  tokens: float
  seconds: float
  goodput: float
  tokens_per_second: float
  flops: float
  chain: str
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
  return [_node(study, folder, parents) for folder, parent in parents.items() if parent is None]


def flat(tree: Sequence[Node]) -> list[Node]:
  """The nodes from the roots down, each before what grows out of it."""
  return [inner for node in tree for inner in (node, *flat(node.children))]


def _node(study: StudyResults, folder: str, parents: dict[str, str | None]) -> Node:
  stage = study.stages[folder]
  parent = parents[folder]
  plan = stage.plan or {}
  tokens = sum(source['loss_tokens'] for source in plan['sources']) if plan else math.nan
  times, timed = stage.times, stage.timing
  return Node(
    stage=stage,
    recipes=[name for name, recipe in study.recipes.items() if folder in recipe.stages],
    ends=[name for name, recipe in study.recipes.items() if recipe.stages[-1] == folder],
    tokens=tokens,
    seconds=times.total if times else math.nan,
    goodput=times.goodput if times else math.nan,
    tokens_per_second=(
      float(timed['tokens_per_second'].median()) if 'tokens_per_second' in timed else math.nan
    ),
    flops=tokens * plan.get('flops_per_token', math.nan),
    chain=_chain(stage, study.stages[parent] if parent else None),
    children=[_node(study, child, parents) for child, above in parents.items() if above == folder],
  )


def _chain(stage: StageResults, parent: StageResults | None) -> str:
  if stage.ledger is None:
    return 'none'
  before = parent.ledger['hash'] if parent and parent.ledger else None
  if stage.ledger.get('parent_hash') != before:
    return 'broken'
  return 'linked' if parent else 'start'
