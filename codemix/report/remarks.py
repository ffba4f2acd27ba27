"""What a report says in words about its own limits: what it cannot show, what is missing, what to mind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from codemix import formatting
from codemix.evaluation import statistics
from codemix.report import comparison
from codemix.report.arms import baselines
from codemix.report.comparison import Measure, Row
from codemix.report.results import StudyResults

# Below a tenth of the study's smallest model (470M) or shortest run (200B tokens), a report says
# first that it shows the machinery (Aryabumi et al., arXiv 2408.10914, sections 2 and 3).
SMALL_PARAMETERS = 47e6
SMALL_TOKENS = 20e9


def caveat(study: StudyResults, rows: Sequence[Row]) -> tuple[str, str]:
  """(in one sentence, why): what even a perfect run of this study could not show."""
  tokens = max((r.tokens_so_far for r in rows if formatting.known(r.tokens_so_far)), default=0)
  parameters = max(recipe.model.get('parameters', 0) for recipe in study.recipes.values())
  if parameters < SMALL_PARAMETERS or tokens < SMALL_TOKENS:
    return (
      'This shows the machinery, not the finding of the paper.',
      'A model this small on this little data says nothing reliable about what code does to a language '
      'model: the paper (Aryabumi et al., 2024) measured models of 470M and 2.8B parameters after 200B to '
      '440B tokens. Here the size of an effect, and even its sign, may be another.',
    )
  if len({recipe.arm for recipe in study.recipes.values()}) == len(study.recipes):
    return (
      'One training run stands behind each recipe.',
      'The intervals hold the choice of validation documents, not the spread between training runs with '
      'other seeds, so no difference is marked as an effect.',
    )
  return (
    'The figures are of these validation documents and these seeds.',
    'An interval holds the choice of documents, and where an arm has several seeds, their spread too. It '
    'does not hold another choice of learning rate, tokenizer or training data.',
  )


def missing(study: StudyResults) -> list[str]:
  """A sentence for each thing that a finished study has and this one has not."""
  lines = []
  for stage in study.stages.values():
    users = ', '.join(name for name, recipe in study.recipes.items() if stage.folder in recipe.stages)
    if stage.state == 'in training':
      lines.append(f'{stage.folder} has trained {len(stage.metrics)} of {stage.plan["steps"]} steps ({users}).')
    elif stage.state != 'evaluated':
      state = {'planned': 'planned but not trained', 'trained': 'trained but not evaluated'}
      lines.append(f'{stage.folder} is {state.get(stage.state, stage.state)} ({users}).')
    absent = [source for source in stage.scores if source not in stage.documents]
    if absent:
      lines.append(f'{stage.folder} has no per-document scores for {", ".join(absent)}: no intervals.')
  return lines


def notes(
  study: StudyResults, measures: Mapping[str, Measure], rows: Sequence[Row], arm_rows: Sequence[Row]
) -> list[str]:
  """What to mind in reading the figures: few seeds or documents, other models, budgets that differ.

  Args:
    rows: of the recipes. arm_rows: of the arms.
  """
  return [
    *_sampled_documents(study),
    *_few_seeds(study, arm_rows),
    *_few_documents(measures, arm_rows),
    *_single_documents(measures),
    *_other_models(study),
    *_other_optimizers(study),
    *_other_budgets(study, rows),
    *_uncompared(study, rows),
  ]


def _sampled_documents(study: StudyResults) -> list[str]:
  """What `Study.validation_documents` left out."""
  scores = {name: score for stage in study.stages.values() for name, score in stage.scores.items() if 'of_documents' in score}
  parts = [f'{score["documents"]:,} of {score["of_documents"]:,} of {name}' for name, score in scores.items()]
  return [f'Validation documents scored: {", ".join(parts)}; the same ones for every stage.'] if parts else []


def _few_seeds(study: StudyResults, arm_rows: Sequence[Row]) -> list[str]:
  if study.baseline is None or not any(row.changes for row in arm_rows if not row.is_baseline):
    return []
  compared = [row for row in arm_rows if not row.is_baseline and row.changes]
  single = list(dict.fromkeys(row.name for row in compared if _seeds(row) == 1))
  if not single:
    return []
  which = 'Every arm' if len(single) == len({row.name for row in compared}) else _few(single)
  return [
    f'{which} is compared at one seed. Its interval holds the choice of validation documents alone, not the '
    'spread between seeds, so it is not coloured: train it and the baseline with more seeds to see whether '
    'a difference is more than noise.'
  ]


def _seeds(row: Row) -> int:
  return max(change.seeds for change in row.changes.values())


def _few_documents(measures: Mapping[str, Measure], arm_rows: Sequence[Row]) -> list[str]:
  """The figures whose intervals rest on few documents, by measure."""
  worst: dict[str, float] = {}
  for row in arm_rows:
    for figures in (row.bits, row.changes):
      for name, figure in figures.items():
        if figure.rests_on_few and (figures is row.bits or not row.is_compared_with_itself):
          worst[name] = min(worst.get(name, math.inf), figure.documents)
  # A source that is all there is of its kind stands under both names.
  shown = {id(measures[name]): name for name in reversed(worst)}
  lines = [f'{name}: {worst[name]:.0f} of {measures[name].documents:,}' for name in reversed(shown.values())]
  if not lines:
    return []
  return [
    f'Fewer than {statistics.FEW_DOCUMENTS} effective documents ({"; ".join(lines)}): a few documents decide the '
    'figures, by their length or by how unlike the others they are. Such intervals, marked †, may be too narrow.'
  ]


def _single_documents(measures: Mapping[str, Measure]) -> list[str]:
  alone = list(dict.fromkeys(source for m in measures.values() for source, count in zip(m.sources, m.counts, strict=False) if count == 1))
  if not alone:
    return []
  return [f'A single validation document of {", ".join(alone)}: there is no interval for it, nor for sources together with it.']


def _other_models(study: StudyResults) -> list[str]:
  models: dict[str, list[str]] = {}
  for recipe in study.recipes.values():
    models.setdefault(recipe.model_digest, []).append(recipe.name)
  if len(models) < 2:
    return []
  lines = [f'The recipes train {len(models)} models: a change is against a baseline of the same model, never of another.']
  against = baselines(study)
  for names in models.values():
    if study.baseline is not None and not any(name in against for name in names):
      lines.append(
        f'{_few(names)}: not compared, since no single arm of this model has the mixtures of {study.baseline}.'
      )
  return lines


def _other_optimizers(study: StudyResults) -> list[str]:
  """Recipes that differ from what they are compared with in more than the mixture."""
  lines = []
  for name, base in baselines(study).items():
    own, other = (study.stages[study.recipes[n].stages[0]].identity.get('optimizer') or {} for n in (name, base))
    differing = [key for key in {**own, **other} if own.get(key) != other.get(key)]
    if own and other and differing:
      lines.append(f'{name} differs from {base} in the optimizer too ({", ".join(differing)}): the change is not of the mixture alone.')
  return lines


def _other_budgets(study: StudyResults, rows: Sequence[Row]) -> list[str]:
  ends = {row.stage.folder: row.tokens_so_far for row in rows}
  against = baselines(study)
  lines = []
  for row in rows:
    base = ends.get(row.against[0], math.nan)
    if abs(row.tokens_so_far / base - 1) > comparison.SAME_TOKENS:
      lines.append(
        f'{row.name} ends after {formatting.tokens(row.tokens_so_far)} tokens and is compared with '
        f'{against[row.name]} after {formatting.tokens(base)}: the change holds the difference in budget too.'
      )
  return lines


def _uncompared(study: StudyResults, rows: Sequence[Row]) -> list[str]:
  if study.baseline is None:
    return []
  lines = []
  against = baselines(study)
  base = study.recipes[study.baseline]
  seedless = [
    f'{r.name} (seed {r.seed})' for r in study.recipes.values() if r.name not in against and r.model_digest == base.model_digest
  ]
  if seedless:
    lines.append(f'Not compared, since {study.baseline} was not trained with their seeds: {", ".join(seedless)}.')
  alone = [f'{row.name} after {row.stage.name}' for row in rows if row.bits and row.against == (None,) and row.name in against]
  if alone:
    lines.append(f'Not compared, since no stage of {study.baseline} ends after as many tokens: {", ".join(alone)}.')
  return lines


def _few(names: Iterable[str]) -> str:
  """The names, or how many there are where they are many."""
  names = list(names)
  return ', '.join(names) if len(names) < 5 else f'{", ".join(names[:3])} and {len(names) - 3} more'
