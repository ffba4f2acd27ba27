"""The recipes of a grid of code shares and seeds, at a fixed total or fixed language."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from codemix.checked import From, NotEmpty, Seed, UpTo, checked
from codemix.data.mixtures.forms import additive_tokens, competitive
from codemix.data.mixtures.mixture import Exact, Spec
from codemix.errors import UserError
from codemix.studies.recipe import Recipe


@checked
def sweep(
  recipe: Recipe,
  language: Spec,
  code: Spec,
  shares: Annotated[Sequence[Annotated[Exact, UpTo(1)]], NotEmpty()],
  seeds: Annotated[Sequence[Seed], NotEmpty()] = (0,),
  mode: Literal['competitive', 'additive'] = 'competitive',
  controls: bool = True,
  stage: Annotated[int, From(0)] = 0,
) -> dict[str, Recipe]:
  """Recipes that differ in the share of code of one stage, and in the seed.

  'competitive' keeps the stage's tokens: code takes the place of language.
  'additive' keeps its language: a stage of N tokens becomes one of N / (1 -
  share). Then each point has a control, language alone at the same total, since
  more tokens help by themselves (Petty et al., arXiv:2409.04556, section 2).

  Raises UserError for an empty list or one with a repeated number, an unknown mode, a stage that
  does not exist, or a share above 1 (of 1, for 'additive').

  Args:
    recipe: what all of them share; the mixture of the varied stage is not used.
    language, code: mixtures.
    shares: fractions of the stage's tokens that are code.
    seeds: each share is trained once with each seed.
    mode: 'competitive' or 'additive'.
    controls: whether 'additive' has its controls.
    stage: which of the recipe's stages is varied, from 0.

  Returns:
    Recipes for `Study.recipes`, by names such as '25% code', '25% code, seed 1',
    '25% code added' and 'text of 25% code added'.
  """
  _require_distinct(shares, 'shares')
  _require_distinct(seeds, 'seeds')
  if stage >= len(recipe.stages):
    raise UserError(f'sweep.stage is {stage!r}; the recipe has {len(recipe.stages)} stage{"s"[: len(recipe.stages) != 1]}, counted from 0.')
  cells: dict[str, Recipe] = {}
  for share in shares:
    tokens = recipe.stages[stage].tokens
    total = additive_tokens(tokens, share) if mode == 'additive' else tokens
    label = f'{_percent(share)}% code' + (' added' if mode == 'additive' else '')
    folder = f'{"added" if mode == "additive" else "code"}_{_percent(share)}'
    arms = {label: (folder, share)}
    if mode == 'additive' and controls and share:
      arms[f'text of {label}'] = (f'text_of_{folder}', Fraction(0))
    for name, (stage_name, part) in arms.items():
      varied = dataclasses.replace(
        recipe.stages[stage], name=stage_name, mixture=competitive(language, code, part), tokens=total
      )
      stages = (*recipe.stages[:stage], varied, *recipe.stages[stage + 1 :])
      for seed in seeds:
        cell = name if len(seeds) == 1 else f'{name}, seed {seed}'
        cells[cell] = dataclasses.replace(
          recipe, stages=stages, seed=seed, description=f'{float(part):.4g} of {total:,.0f} tokens code'
        )
  return cells


def _require_distinct(numbers: Sequence, field: str) -> None:
  if len(set(numbers)) < len(numbers):
    raise UserError(f'sweep.{field} has a number twice: {", ".join(map(str, numbers))}.')


def _percent(share: Fraction) -> str:
  """0.25 -> '25', 1/3 -> '33.3333': a stage's name may hold a point but no %."""
  return f'{float(100 * share):.6f}'.rstrip('0').rstrip('.')
