"""Recipes and studies: a recipe is an ordered list of stages, a study a set of recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import Above, From, Name, NotEmpty, Seed, Tokens, checked
from codemix.errors import UserError, nearest
from codemix.models.config import ModelConfig
from codemix.training.optimizer import Optimizer
from codemix.training.stage import Stage


@dataclasses.dataclass(frozen=True)
@checked
class Recipe:
  """One model and the stages in which it is trained.

  Attributes:
    stages: in order.
    model: the decoder.
    length: tokens of a row.
    optimizer: with its constants; the rate is the stages'.
    seed: of the initialisation and of the order of the data.
    max_epochs: how often a source may be read over the whole run; a plan that
      reads one more often is refused before the first step.
    description: one line for the report.
  """

  stages: Annotated[tuple[Stage, ...], NotEmpty()]
  model: ModelConfig
  length: Tokens
  optimizer: Optimizer = Optimizer()
  seed: Seed = 0
  max_epochs: Annotated[float, Above(0)] = 4.0
  description: str = ''


@dataclasses.dataclass(frozen=True)
@checked
class Study:
  """Recipes that are trained, evaluated and compared together.

  Attributes:
    name: of the study.
    recipes: by name, in the order of the report.
    baseline: the recipe that the others are compared with.
    validation: tasks whose validation split every stage is scored on.
    validation_documents: how many documents of each of them are scored, at most;
      the same ones for every stage, chosen by a digest of their content. None
      scores all.
    prompts: what each stage's model continues, for the report.
    sample_tokens: length of those continuations.
    note: what the report says at its top.
  """

  name: Name
  recipes: Annotated[Mapping[Name, Recipe], NotEmpty()]
  baseline: Name | None = None
  validation: tuple[Name, ...] = ()
  validation_documents: Annotated[int, From(1), 'documents'] | None = None
  prompts: tuple[str, ...] = ()
  sample_tokens: Annotated[int, From(1), 'tokens'] = 48
  note: str = ''

  def __post_init__(self):
    if self.baseline is None:
      object.__setattr__(self, 'baseline', next(iter(self.recipes)))
    if self.baseline not in self.recipes:
      raise UserError(
        f"Study.baseline is '{self.baseline}', which is not a recipe of the study ({', '.join(self.recipes)}).{nearest(self.baseline, self.recipes)}"
      )
