"""Which of the paper's models each row of a study stands for: the one that is trained alike, in the ratios of its tokens.

A row is taken for a model of the paper by what its stages read, never by the name of its arm or by how many stages it has: by the
shares of code, the kinds of code, whether a stage is a cooldown, and which stages and arms read equally many tokens. How many
these are does not matter: a study of 1M parameters has the paper's arms in small.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from codemix.published import models as paper
from codemix.published.models import PublishedModel
from codemix.report import shares
from codemix.report.comparison import Row
from codemix.report.content import Content, Model
from codemix.report.paper_size import paper_size
from codemix.report.table import once
from codemix.report.trained_on import TrainedOn, trained_on
from codemix.studies.counterpart import SAME_TOKENS


@dataclasses.dataclass(frozen=True)
class _Recipe:
  """A recipe of Table 2, and the models that the paper prints of it.

  Attributes:
    codes: the shares of code of the two halves of pre-training; if they are equal, pre-training may be one stage.
    pretrained: after both halves.
    cooled: after a cooldown, by its share of code.
    begun: after the first half.
    larger: after both halves, of 2.8B parameters.
    synthetic, plain: after both halves, where it matters whether the code has synthetic code in it.
  """

  codes: tuple[float, float]
  pretrained: PublishedModel
  cooled: Mapping[float, PublishedModel]
  begun: PublishedModel | None = None
  larger: PublishedModel | None = None
  synthetic: PublishedModel | None = None
  plain: PublishedModel | None = None


_RECIPES = (
  _Recipe((0.0, 0.0), paper.TEXT_ONLY, {0.2: paper.TEXT_ONLY_COOLED}),
  _Recipe((0.5, 0.5), paper.BALANCED_ONLY, {0.2: paper.BALANCED_ONLY_COOLED}, larger=paper.LARGER_BALANCED_ONLY),
  _Recipe(
    (0.5, 0.1), paper.BALANCED_TO_TEXT, {0.2: paper.BALANCED_TO_TEXT_COOLED, 0.0: paper.COOLED_WITHOUT_CODE},
    paper.BALANCED_TO_TEXT_BEGUN, paper.LARGER_BALANCED_TO_TEXT, paper.WITH_SYNTHETIC, paper.WITHOUT_SYNTHETIC,
  ),
  _Recipe((1.0, 0.1), paper.CODE_TO_TEXT, {0.2: paper.CODE_TO_TEXT_COOLED}, paper.CODE_TO_TEXT_BEGUN, paper.LARGER_CODE_TO_TEXT),
)  # fmt: skip

# Figure 5a, by the kinds of code and their shares of it, called as in gin/mixtures/codes.gin. Where the paper's words and numbers
# differ, both readings are its arm: adjacent to code are commits or issues; synthetic code is beside web code, or also markup.
_KINDS = (
  ({'web_code': 1.0}, paper.CODE_WEB),
  ({'web_code': 0.8, 'markup': 0.2}, paper.CODE_MARKUP),
  ({'web_code': 0.85, 'commits': 0.05, 'notebooks': 0.05, 'stackexchange': 0.05}, paper.CODE_ADJACENT),
  ({'web_code': 0.85, 'issues': 0.05, 'notebooks': 0.05, 'stackexchange': 0.05}, paper.CODE_ADJACENT),
  ({'web_code': 0.9, 'synthetic': 0.1}, paper.CODE_SYNTHETIC),
  ({'web_code': 0.7, 'markup': 0.2, 'synthetic': 0.1}, paper.CODE_SYNTHETIC),
)


def of_row(content: Content, row: Row) -> Sequence[PublishedModel]:
  """The paper's models that a row of an arm stands for.

  Several if the paper prints it in several places: balanced→text in Table 2, and without synthetic code in Figure 5.
  """
  return published(content).get((row.name, row.position), ())


@once
def published(content: Content) -> dict[tuple[str, int], list[PublishedModel]]:
  """`of_row` of all rows that stand for a model, by the arm's name and the position of the stage."""
  found: dict[tuple[str, int], list[PublishedModel]] = {}
  for model in content.models:
    is_large, wholes = paper_size(content, model) == '2.8B', _wholes(content, model)
    for arm in model.arms:
      stages = trained_on(content, arm)
      for row in content.rows_of(arm)[: len(stages)]:
        printed = _larger(stages, row, wholes) if is_large else _smaller(stages, row, wholes)
        if models := [each for each in printed if each]:
          found[arm.name, row.position] = models
  for sweep in shares.sweeps(content):
    for share, row in sweep.rows.items() if sweep.is_papers else ():
      if share in paper.BY_SHARE:
        found.setdefault((row.name, row.position), []).insert(0, paper.BY_SHARE[share])
  return found


@once
def rows_by_model(content: Content) -> dict[PublishedModel, list[Row]]:
  """The rows that stand for each of the paper's models, in the study's order; arms that share a stage each have a row."""
  found: dict[PublishedModel, list[Row]] = {}
  for row in content.arm_rows:
    for model in of_row(content, row):
      found.setdefault(model, []).append(row)
  return found


def _wholes(content: Content, model: Model) -> list[float]:
  """The tokens of pre-training of the arms that have it in two stages: one stage must have as many to be all of it."""
  pairs = [stages[:2] for arm in model.arms if len(stages := trained_on(content, arm)) > 1]
  return [sum(stage.tokens for stage in pair) for pair in pairs if any(_are_halves(pair, recipe) for recipe in _RECIPES)]


def _smaller(stages: Sequence[TrainedOn], row: Row, wholes: Sequence[float]) -> Iterator[PublishedModel | None]:
  """What the paper prints, of its models of 470M parameters, of an arm after the stage of a row."""
  read, after = stages[: row.position], stages[row.position :]
  if row.last and len(read) == 1 and read[0].code == 1:
    yield next((model for kinds, model in _KINDS if _alike(kinds, read[0].kinds)), None)
  for recipe in _RECIPES:
    if recipe.begun and len(read) == 1 and _are_halves([*read, *after[:1]], recipe):
      yield recipe.begun
    elif read[-1].cools and _is_pretrained(read[:-1], recipe, wholes, cooled=True):
      yield recipe.cooled.get(read[-1].code)
    elif _is_pretrained(read, recipe, wholes, cooled=bool(after) and after[0].cools):
      yield recipe.pretrained
      if all('web_code' in stage.kinds for stage in read):  # its kinds are known
        yield recipe.synthetic if any('synthetic' in stage.kinds for stage in read) else recipe.plain


def _larger(stages: Sequence[TrainedOn], row: Row, wholes: Sequence[float]) -> Iterator[PublishedModel | None]:
  """The same of its models of 2.8B parameters, which have no cooldown."""
  read, after = stages[: row.position], stages[row.position :]
  for recipe in _RECIPES:
    if _is_pretrained(read, recipe, wholes, cooled=bool(after) and after[0].cools):
      yield recipe.larger


def _is_pretrained(stages: Sequence[TrainedOn], recipe: _Recipe, wholes: Sequence[float], cooled: bool) -> bool:
  """Whether these stages are all of a recipe's pre-training.

  Args:
    wholes: how many tokens that is, of other arms.
    cooled: whether the stage after them is a cooldown, so that there is no more; it counts if no other arm says how many tokens it is.
  """
  if len(stages) == 1 and not stages[0].cools and recipe.codes == (stages[0].code,) * 2:
    return any(_same(stages[0].tokens, whole) for whole in wholes) if wholes else cooled
  return _are_halves(stages, recipe)


def _are_halves(stages: Sequence[TrainedOn], recipe: _Recipe) -> bool:
  if len(stages) != 2 or any(stage.cools for stage in stages):
    return False
  return tuple(stage.code for stage in stages) == recipe.codes and _same(*(stage.tokens for stage in stages))


def _same(tokens: float, others: float) -> bool:
  return math.isclose(tokens, others, rel_tol=SAME_TOKENS)


def _alike(kinds: Mapping[str, float], others: Mapping[str, float]) -> bool:
  return kinds.keys() == others.keys() and all(math.isclose(kinds[name], others[name], abs_tol=1e-3) for name in kinds)
