"""Recipes that differ in the share of code of one stage, at a fixed total or fixed language."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from codemix.checked import From, NotEmpty, UpTo, checked
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
  mode: Literal['competitive', 'additive'] = 'competitive',
  controls: bool = True,
  stage: Annotated[int, From(0)] = 0,
) -> dict[str, Recipe]:
  """Recipes that differ in the share of code of one stage; `Study.seeds` repeats them.

  'competitive' keeps the stage's tokens: code takes the place of language.
  'additive' keeps its language: a stage of N tokens becomes one of N / (1 -
  share). Then each point has a control, language alone at the same total, since
  more tokens help by themselves (Petty et al., arXiv:2409.04556, section 2). The
  control is the `Recipe.baseline` of its point; that of 0% is the point itself.

  Raises UserError for an empty list or one with a repeated number, an unknown mode, a stage that
  does not exist, or a share above 1 (of 1, for 'additive').

  Args:
    recipe: what all of them share; the mixture of the varied stage is not used.
    language, code: mixtures.
    shares: fractions of the stage's tokens that are code.
    mode: 'competitive' or 'additive'.
    controls: whether 'additive' has its controls.
    stage: which of the recipe's stages is varied, from 0.

  Returns:
    Recipes for `Study.recipes`, by names such as '25% code', '25% code added' and 'text of 25% code added', with the fields
    'share' (of the tokens that are code), 'tokens' (of the stage) and 'design' ('competitive', 'additive' or 'control').
  """
  if len(set(shares)) < len(shares):
    raise UserError(f'sweep.shares has a number twice: {", ".join(map(str, shares))}.')
  if stage >= len(recipe.stages):
    raise UserError(f'sweep.stage is {stage!r}; the recipe has {len(recipe.stages)} stage{"s"[: len(recipe.stages) != 1]}, counted from 0.')
  cells: dict[str, Recipe] = {}
  for share in shares:
    tokens = recipe.stages[stage].tokens
    total = additive_tokens(tokens, share) if mode == 'additive' else tokens
    label = f'{_percent(share)}% code' + (' added' if mode == 'additive' else '')
    folder = f'{"added" if mode == "additive" else "code"}_{_percent(share)}'
    arms = {label: (folder, share, mode)}
    baseline = None
    if mode == 'additive' and controls:
      baseline = f'text of {label}' if share else label
    if baseline and share:
      arms[baseline] = (f'text_of_{folder}', Fraction(0), 'control')
    for name, (stage_name, part, design) in arms.items():
      varied = dataclasses.replace(
        recipe.stages[stage], name=stage_name, mixture=competitive(language, code, part), tokens=total
      )
      stages = (*recipe.stages[:stage], varied, *recipe.stages[stage + 1 :])
      cells[name] = dataclasses.replace(
        recipe,
        stages=stages,
        description=f'{float(part):.4g} of {total:,.0f} tokens code',
        fields={**recipe.fields, 'share': float(part), 'tokens': total, 'design': design},
        baseline=baseline,
      )
  return cells


def _percent(share: Fraction) -> str:
  """0.25 -> '25', 1/3 -> '33.3333': a stage's name may hold a point but no %."""
  return f'{float(100 * share):.6f}'.rstrip('0').rstrip('.')
