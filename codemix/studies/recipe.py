"""What a user composes: a recipe is an ordered list of stages, a study a set of recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from codemix.errors import UserError, nearest
from codemix.models.config import ModelConfig
from codemix.training.optimizer import Optimizer
from codemix.training.stage import Stage


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One model's way through its stages.

  Attributes:
    stages: in order.
    model: the decoder.
    length: tokens of a row.
    optimizer: with its constants; the rate is the stages'.
    seed: of the initialisation and of the order of the data.
    max_epochs: how often a source may be read over the whole run; a plan that
      would read one oftener is refused before the first step.
    description: one line for the report.
  """

  stages: tuple[Stage, ...]
  model: ModelConfig
  length: int
  optimizer: Optimizer = Optimizer()
  seed: int = 0
  max_epochs: float = 4.0
  description: str = ''

  def __post_init__(self):
    object.__setattr__(self, 'stages', tuple(self.stages))
    if not self.stages:
      raise UserError('Recipe.stages is empty; a recipe has at least one stage.')
    for stage in self.stages:
      if not isinstance(stage, Stage):
        raise UserError(
          f'Recipe.stages holds {stage!r}, which is no stage; in gin write @name/Stage() with the brackets.'
        )
    if not (isinstance(self.length, int) and self.length > 0):
      raise UserError(f'Recipe.length is {self.length!r}; it is a whole number of tokens.')
    if not self.max_epochs > 0:
      raise UserError(f'Recipe.max_epochs is {self.max_epochs!r}; it is a number above 0.')


@dataclasses.dataclass(frozen=True)
class Study:
  """Recipes that are trained, evaluated and compared together.

  Attributes:
    name: of the study.
    recipes: by name, in the order of the report.
    baseline: the recipe that the others are compared with.
    validation: tasks whose validation split every stage is scored on.
    validation_documents: how many documents of each of them are scored, at most;
      the same ones for every stage, chosen by a digest of what they say. None
      scores all.
    prompts: what each stage's model continues, for the report.
    sample_tokens: length of those continuations.
    note: what the report says at its top.
  """

  name: str
  recipes: Mapping[str, Recipe]
  baseline: str | None = None
  validation: tuple[str, ...] = ()
  validation_documents: int | None = None
  prompts: tuple[str, ...] = ()
  sample_tokens: int = 48
  note: str = ''

  def __post_init__(self):
    if not self.recipes:
      raise UserError('Study.recipes is empty; a study has at least one recipe.')
    limit = self.validation_documents
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
      raise UserError(f'Study.validation_documents is {limit!r}; it is a whole number of documents, at least 1, or None for all.')
    if self.baseline is None:
      object.__setattr__(self, 'baseline', next(iter(self.recipes)))
    if self.baseline not in self.recipes:
      raise UserError(
        f"Study.baseline is '{self.baseline}', which is no recipe of the study ({', '.join(self.recipes)}).{nearest(self.baseline, self.recipes)}"
      )
