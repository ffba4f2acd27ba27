"""What a report says about its limits: what it cannot show, what is missing, what to mind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from codemix import formatting
from codemix.evaluation import statistics
from codemix.report.arms import arms, baseline_arms, baselines
from codemix.report.comparison import Measure, Row
from codemix.report.results import StudyResults
from codemix.studies.counterpart import SAME_TOKENS

# A tenth of the paper's smallest model (470M) and of its shortest run (200B tokens). Below either, a report
# says first that it shows the machinery (Aryabumi et al., arXiv 2408.10914, sections 2 and 3).
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
      '440B tokens. Here an effect may have another size, and even another sign.',
    )
  if len({recipe.arm for recipe in study.recipes.values()}) == len(study.recipes):
    return (
      'Each recipe was trained once.',
      'The intervals cover the choice of validation documents, not the spread between training runs with '
      'other seeds, so no difference is marked as an effect.',
    )
  return (
    'The figures are of these validation documents and these seeds.',
    'An interval covers the choice of documents and, where an arm has several seeds, their spread. It does '
    'not cover another choice of learning rate, tokenizer or training data.',
  )


def missing(study: StudyResults) -> list[str]:
  """A sentence for each thing that a finished study would have and this one lacks."""
  lines = []
  states = {'planned': 'planned but not trained', 'trained': 'trained but not evaluated', 'not started': 'not started'}
  for stage in study.stages.values():
    users = ', '.join(name for name, recipe in study.recipes.items() if stage.folder in recipe.stages)
    if stage.state == 'failed':
      far = f' after {len(stage.metrics)} of {stage.plan["steps"]} steps' if stage.progress == 'in training' else ''
      lines.append(f'{stage.folder} failed{far}: {stage.failure} ({users}).')
    elif stage.state == 'not started' and (failed := _failed_before(stage.folder, study)):
      lines.append(f'{stage.folder} is not started, because {failed}, with which it begins, failed ({users}).')
    elif stage.state == 'in training':
      lines.append(f'{stage.folder} has trained {len(stage.metrics)} of {stage.plan["steps"]} steps ({users}).')
    elif stage.state == 'trained' and stage.results:
      lines.append(f'{stage.folder} lacks the results of {_few(stage.lacks)} ({users}).')
    elif stage.state != 'evaluated':
      lines.append(f'{stage.folder} is {states[stage.state]} ({users}).')
    if absent := [source for source in stage.scores if source not in stage.documents]:
      lines.append(f'{stage.folder} has no per-document scores for {", ".join(absent)}: no intervals.')
  return lines


def _failed_before(folder: str, study: StudyResults) -> str | None:
  """The folder of a stage that failed, and that this one, or one before it, begins with; None if there is none."""
  for recipe in study.recipes.values():
    if folder in recipe.stages:
      before = recipe.stages[: recipe.stages.index(folder)]
      return next((name for name in before if study.stages[name].state == 'failed'), None)
  return None


def notes(
  study: StudyResults, measures: Mapping[str, Measure], rows: Sequence[Row], arm_rows: Sequence[Row]
) -> list[str]:
  """What to mind in reading the figures: few seeds or documents, other models, budgets that differ.

  Args:
    rows: of the recipes. arm_rows: of the arms.
  """
  return [
    *_undeclared_kinds(study),
    *_skipped_steps(study),
    *_sampled_documents(study),
    *_few_seeds(arm_rows),
    *_few_documents(measures, arm_rows),
    *_single_documents(measures),
    *_other_models(study),
    *_other_optimizers(study),
    *_other_budgets(study, rows),
    *_uncompared(study, rows),
  ]


def _undeclared_kinds(study: StudyResults) -> Iterator[str]:
  if names := [source for source in study.sources if source not in study.kinds]:
    yield (
      f'Kind not declared for: {", ".join(names)}. Such a source is not pooled with others, and the share of code is '
      'unknown after training on it. Declare the kind (Corpus.kind or Data.kinds) and run the study again: finished '
      'stages are kept.'
    )


def _skipped_steps(study: StudyResults) -> Iterator[str]:
  """Steps whose tokens were drawn and not learned from."""
  for stage in study.stages.values():
    reasons = Counter(skipped['why'] for skipped in (stage.ledger or {}).get('skipped', ()))
    if reasons:
      each = ', '.join(f'{count} {why}' for why, count in reasons.items())
      yield f'{stage.folder}: {reasons.total()} of {stage.plan["steps"]:,} steps were not learned from ({each}), so it has learned from fewer tokens than it has drawn.'


def _sampled_documents(study: StudyResults) -> Iterator[str]:
  """How many documents were scored with `Study.validation_documents`."""
  scores = {name: score for stage in study.stages.values() for name, score in stage.scores.items() if 'of_documents' in score}
  if parts := [f'{score["documents"]:,} of {score["of_documents"]:,} of {name}' for name, score in scores.items()]:
    yield f'Validation documents scored: {", ".join(parts)}; the same ones for every stage.'


def _few_seeds(arm_rows: Sequence[Row]) -> Iterator[str]:
  seeds = {
    (row.name, row.position): max(change.seeds for change in row.changes.values())
    for row in arm_rows if row.changes and not row.is_baseline
  }  # fmt: skip
  if single := list(dict.fromkeys(name for (name, _), count in seeds.items() if count == 1)):
    which = 'Every arm' if len(single) == len({name for name, _ in seeds}) else _few(single)
    yield (
      f'{which} is compared at one seed. Its interval covers the choice of validation documents only, not the '
      'spread between seeds, so it is not coloured: train it and the baseline with more seeds to see whether '
      'a difference is more than noise.'
    )


def _few_documents(measures: Mapping[str, Measure], arm_rows: Sequence[Row]) -> Iterator[str]:
  """The smallest effective number of documents of each measure, if it is small."""
  worst: dict[str, float] = {}
  for row in arm_rows:
    for figures in (row.bits, {} if row.is_compared_with_itself else row.changes):
      for name, figure in figures.items():
        if figure.rests_on_few:
          worst[name] = min(worst.get(name, math.inf), figure.documents)
  if lines := [f'{name}: {documents:.0f} of {measures[name].documents:,}' for name, documents in worst.items()]:
    yield (
      f'Fewer than {statistics.FEW_DOCUMENTS} effective documents ({"; ".join(lines)}): a few documents decide the '
      'figures, because they are long or unlike the others. Such intervals, marked †, may be too narrow.'
    )


def _single_documents(measures: Mapping[str, Measure]) -> Iterator[str]:
  counts = {source: count for m in measures.values() for source, count in zip(m.sources, m.counts, strict=False)}
  if alone := [source for source, count in counts.items() if count == 1]:
    yield f'A single validation document of {", ".join(alone)}: there is no interval for it, nor for sources together with it.'


def _other_models(study: StudyResults) -> Iterator[str]:
  models: dict[str, list[str]] = {}
  for recipe in study.recipes.values():
    models.setdefault(recipe.model_digest, []).append(recipe.name)
  if len(models) < 2:
    return
  yield f'The recipes train {len(models)} models: a change is against a baseline of the same model, never of another.'
  against = baselines(study)
  for names in models.values():
    if study.baseline is not None and against.keys().isdisjoint(names):
      yield f'{_few(names)}: not compared, since no single arm of this model has the mixtures of {study.baseline}.'


def _other_optimizers(study: StudyResults) -> Iterator[str]:
  """Recipes that differ from what they are compared with in more than the mixture."""
  base_of, arm_of = baseline_arms(study), _arm_names(study)
  found: dict[str, None] = {}  # a sentence for an arm, not for each of its seeds
  for name in study.recipes:
    base = next(iter(base_of[name]), name)
    own, other = (study.stages[study.recipes[n].stages[0]].identity.get('optimizer') or {} for n in (name, base))
    differing = [key for key in {**own, **other} if own.get(key) != other.get(key)]
    if own and other and differing:
      found[f'{arm_of[name]} differs from {arm_of[base]} in the optimizer too ({", ".join(differing)}): the change is not of the mixture alone.'] = None
  yield from found


def _other_budgets(study: StudyResults, rows: Sequence[Row]) -> Iterator[str]:
  """A sentence for all arms that end after as many tokens."""
  ends = {row.stage.folder: row.tokens_so_far for row in rows}
  against, arm_of = baselines(study), _arm_names(study)
  found: dict[tuple[str, str, str], dict[str, None]] = {}
  for row in rows:
    base = ends.get(row.against[0], math.nan)
    if abs(row.tokens_so_far / base - 1) > SAME_TOKENS:
      key = (formatting.tokens(row.tokens_so_far), arm_of[against[row.name]], formatting.tokens(base))
      found.setdefault(key, {})[arm_of[row.name]] = None
  for (tokens, base, of_base), names in found.items():
    end, are = ('ends', 'is') if len(names) == 1 else ('end', 'are')
    yield f'{", ".join(names)} {end} after {tokens} tokens and {are} compared with {base} after {of_base}: the change includes the difference in budget, so it is not coloured.'


def _uncompared(study: StudyResults, rows: Sequence[Row]) -> Iterator[str]:
  if study.baseline is None:
    return
  against, base_of, arm_of = baselines(study), baseline_arms(study), _arm_names(study)
  seedless: dict[str, list[str]] = {}
  for arm in arms(study):
    for name in arm.recipes:
      base = base_of[name]
      # An arm of several seeds is compared with all of the baseline's, if those are several.
      if base and name not in against and min(len(base), len(arm.recipes)) < 2:
        seedless.setdefault(base[0], []).append(f'{name} (seed {study.recipes[name].seed})')
  for base, names in seedless.items():
    yield f'Not compared, since {base} was not trained with their seeds: {", ".join(names)}.'
  later: dict[str, dict[str, None]] = {}
  for row in rows:
    if row.bits and row.against == (None,) and row.name in against:
      later.setdefault(arm_of[against[row.name]], {})[f'{arm_of[row.name]} after {row.stage.name}'] = None
  for base, names in later.items():
    yield f'Not compared, since no stage of {base} ends after as many tokens: {", ".join(names)}.'


def _arm_names(study: StudyResults) -> dict[str, str]:
  """The name of each recipe's arm."""
  return {recipe: arm.name for arm in arms(study) for recipe in arm.recipes}


def _few(names: Sequence[str]) -> str:
  """The names, or how many there are if they are many."""
  return ', '.join(names) if len(names) < 5 else f'{", ".join(names[:3])} and {len(names) - 3} more'
