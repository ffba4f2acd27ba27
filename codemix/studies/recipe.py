"""Recipes and studies: a recipe is an ordered list of stages, a study a set of recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

from codemix.checked import Above, From, Name, NotEmpty, Path, Seed, Tokens, checked
from codemix.errors import UserError, nearest
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.evaluation.tasks.instructions import Instructions
from codemix.models.config import ModelConfig
from codemix.studies.baselines import require_baselines, require_one_baseline_an_arm
from codemix.studies.claim import Claim
from codemix.studies.fields import Field, require_field_names
from codemix.studies.seeded import joined, seeded
from codemix.training.optimizer import Optimizer
from codemix.training.stage import Stage


@dataclasses.dataclass(frozen=True)
@checked
class Recipe:
  """One model and the stages in which it is trained.

  Attributes:
    stages: in order.
    model: the decoder; None for that of the start.
    length: tokens of a row.
    optimizer: with its constants; the rate is the stages'.
    seed: of the initialisation and of the order of the data.
    max_epochs: how often a source may be read over the whole run; a plan that
      reads one more often is refused before the first step.
    description: one line for the report.
    start: the folder of a finished stage or of an imported model, with whose weights the first stage
      begins; that stage's hand-off says what else it takes over. None for a random initialisation.
    fields: what distinguishes it within the study, such as {'share': 0.25, 'size': '470m'}; columns of the tables of results.
      'arm' is what it is called without its seed. They change nothing that is trained.
    baseline: the recipe of the study that it is compared with, of the same model; itself if it is compared with none; None for
      `Study.baseline`. With `Study.seeds`, its name without a seed. It changes nothing that is trained.
  """

  stages: Annotated[tuple[Stage, ...], NotEmpty()]
  model: ModelConfig | None
  length: Tokens
  optimizer: Optimizer = Optimizer()
  seed: Seed = 0
  max_epochs: Annotated[float, Above(0)] = 4.0
  description: str = ''
  start: Path | None = None
  fields: Mapping[Name, Field] = dataclasses.field(default_factory=dict)
  baseline: Name | None = None

  def __post_init__(self):
    require_field_names(self.fields)
    if self.model is None:
      if self.start is None:
        raise UserError('Recipe.model is None, and there is no Recipe.start whose model it could be. Bind Recipe.model = @ModelConfig(), or Recipe.start (START in recipes/from_checkpoint.gin).')
      from codemix.studies.start_folder import model_of_start  # imports Orbax

      object.__setattr__(self, 'model', model_of_start(self.start))


@dataclasses.dataclass(frozen=True)
@checked
class Study:
  """Recipes that are trained, evaluated and compared together.

  Attributes:
    name: of the study.
    recipes: by name, in the order of the report; or several such dictionaries, which are joined. With `seeds` it has a recipe
      for each seed once the study is built.
    baseline: the recipe that the others are compared with, unless they have a `Recipe.baseline` of their own.
    validation: tasks whose validation split every stage is scored on.
    validation_documents: how many documents of each of them are scored, at most;
      the same ones for every stage, chosen by a digest of their content. None
      scores all.
    evaluate: benchmarks that every stage's model is evaluated on: names of tasks and groups, or an `Evaluation`
      with its settings.
    judge: compares the answers of each recipe's last stage to the instructions of `evaluate`, such as 'dolly', with those of
      its baseline's, after all stages; None asks nobody.
    prompts: what each stage's model continues, for the report.
    sample_tokens: length of those continuations.
    note: what the report says at its top.
    claims: what is expected of the results, by name; registered before the first step, judged in the report. They change
      nothing that is trained.
    seeds: each recipe is trained once with each of them, in place of its own; () leaves every recipe its own. Empty again once
      the study is built: `recipes` has them.
  """

  name: Name
  recipes: Annotated[Mapping[Name, Recipe], NotEmpty()] | Annotated[Sequence[Mapping[Name, Recipe]], NotEmpty()]
  baseline: Name | None = None
  validation: tuple[Name, ...] = ()
  validation_documents: Annotated[int, From(1), 'documents'] | None = None
  evaluate: tuple[Name, ...] | Evaluation = ()
  judge: Judge | None = None
  prompts: tuple[str, ...] = ()
  sample_tokens: Annotated[int, From(1), 'tokens'] = 48
  note: str = ''
  claims: Mapping[Name, Claim] = dataclasses.field(default_factory=dict)
  seeds: tuple[Seed, ...] = ()

  def __post_init__(self):
    object.__setattr__(self, 'recipes', joined(self.recipes))
    evaluation = self.evaluation  # an unknown name is an error here
    if self.judge and not any(isinstance(task, Instructions) for task in (evaluation.selected() if evaluation else ())):
      raise UserError("Study.judge compares answers to instructions, and Study.evaluate has none: add 'dolly' to it, or unbind Study.judge.")
    if self.baseline is None:
      object.__setattr__(self, 'baseline', next(iter(self.recipes)))
    if self.baseline not in self.recipes:
      raise UserError(
        f"Study.baseline is '{self.baseline}', which is not a recipe of the study ({', '.join(self.recipes)}).{nearest(self.baseline, self.recipes)}"
      )
    require_baselines(self.recipes)
    if self.seeds:
      recipes, names = seeded(self.recipes, self.seeds)
      object.__setattr__(self, 'recipes', recipes)
      object.__setattr__(self, 'baseline', names[self.baseline])
      object.__setattr__(self, 'seeds', ())
    require_one_baseline_an_arm(self)
    if self.claims:
      from codemix.studies.claim_comparison import compare  # which imports this module

      compare(self)

  @property
  def evaluation(self) -> Evaluation | None:
    """The benchmarks of every stage; None if there are none."""
    if isinstance(self.evaluate, Evaluation):
      return self.evaluate
    return Evaluation(self.evaluate) if self.evaluate else None
