"""Bits per byte of every recipe after every stage, with intervals, beside the baseline.

A stage is compared with the stage of the baseline that ends after the same number of tokens: a
model after half of the tokens beside one after all of them would show the budget, not the mixture.
Only a recipe's last stage is compared at any rate, with the baseline's last where none matches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.studies import accounts
from codemix.studies.results import StageResults, StudyResults, read_study

if TYPE_CHECKING:
  import pandas as pd

# Budgets become whole steps, so stages of one budget may end a few steps apart.
SAME_TOKENS = 0.01
# Columns of the results that hold whole numbers, by how their names end; pandas would make them
# floating-point wherever one is not known.
COUNTS = ('rows', 'tokens', 'documents', 'bytes', 'steps', 'steps_before', 'tokens_so_far')


@dataclasses.dataclass(frozen=True)
class Measure:
  """Bits per byte on a set of validation sources taken together.

  bits: by stage folder. changes: by (stage folder, stage folder of the baseline), as a fraction.
  documents: how many there are; documents of a source are the same for all stages.
  """

  sources: tuple[str, ...]
  documents: int
  bits: Mapping[str, Estimate]
  changes: Mapping[tuple[str, str], Estimate]


@dataclasses.dataclass(frozen=True)
class Row:
  """A recipe after one of its stages: a line of the results.

  Attributes:
    tokens: of the stage. tokens_so_far and code_share: from the recipe's first step on.
    bits, changes: by name of the measure; no entry where there is no figure.
    against: the stage folder of the baseline that it is compared with.
  """

  recipe: str
  position: int
  last: bool
  stage: StageResults
  tokens: float
  tokens_so_far: float
  code_share: float
  bits: Mapping[str, Estimate]
  changes: Mapping[str, Estimate]
  against: str | None

  @property
  def is_baseline(self) -> bool:
    """Whether the model compared with is this very model."""
    return self.against == self.stage.folder


def counterparts(study: StudyResults) -> dict[tuple[str, int], str]:
  """(recipe, position) to the stage folder of the baseline that it is compared with.

  Without an entry: no baseline is named, or an earlier stage than the last has no stage of the
  baseline that ends after as many tokens (within SAME_TOKENS).
  """
  if study.baseline is None:
    return {}
  frame = accounts.recipes_frame(study)
  base = frame[frame.recipe == study.baseline]
  found = {}
  for row in frame.itertuples():
    gaps = (base.tokens_so_far / row.tokens_so_far - 1).abs()
    if gaps.notna().any() and gaps.min() <= SAME_TOKENS:
      found[row.recipe, row.position] = base.folder[gaps.idxmin()]
    elif row.last:
      found[row.recipe, row.position] = base.folder.iloc[-1]
  return found


def measure(
  study: StudyResults,
  sources: Sequence[str],
  resamples: int = statistics.RESAMPLES,
  seed: int = 0,
) -> Measure:
  """Bits per byte on the documents of `sources` together, of each stage evaluated on all of them.

  Stages without their per-document files have a value and no interval.

  Raises:
    UserError: two stages were evaluated on different documents of a source.
  """
  stages = [s for s in study.stages.values() if sources and all(name in s.scores for name in sources)]
  bits = {stage.folder: Estimate(_bits_from_scores(stage, sources)) for stage in stages}
  pairs = {
    (study.recipes[recipe].stages[position - 1], base)
    for (recipe, position), base in counterparts(study).items()
  }
  pairs = {pair for pair in pairs if pair[0] in bits and pair[1] in bits}
  changes = {(own, base): _change(bits[own].value, bits[base].value) for own, base in pairs}
  count = max((sum(s.scores[name]['documents'] for name in sources) for s in stages), default=0)

  whole = [stage for stage in stages if all(name in stage.documents for name in sources)]
  if whole and count > 1:
    nats_MxN, bytes_N = _same_documents(whole, sources)
    resampled_RxM = statistics.bootstrap_bits_per_byte(nats_MxN, bytes_N, resamples, seed)
    column = {stage.folder: resampled_RxM[:, index] for index, stage in enumerate(whole)}
    for folder, values_R in column.items():
      bits[folder] = statistics.percentile_interval(bits[folder].value, values_R)
    for own, base in pairs & {(own, base) for own in column for base in column}:
      change_R = statistics.resampled_change(column[own], column[base])
      changes[own, base] = statistics.percentile_interval(changes[own, base].value, change_R)
  return Measure(tuple(sources), int(count), bits, changes)


def results_rows(study: StudyResults, measures: Mapping[str, Measure]) -> list[Row]:
  """Every recipe after every stage, in the study's order."""
  against = counterparts(study)
  rows = []
  for line in accounts.recipes_frame(study).itertuples():
    pair = line.folder, against.get((line.recipe, line.position))
    rows.append(
      Row(
        recipe=line.recipe,
        position=line.position,
        last=line.last,
        stage=study.stages[line.folder],
        tokens=line.tokens,
        tokens_so_far=line.tokens_so_far,
        code_share=line.code_share_so_far,
        bits={name: m.bits[line.folder] for name, m in measures.items() if line.folder in m.bits},
        changes={name: m.changes[pair] for name, m in measures.items() if pair in m.changes},
        against=pair[1],
      )
    )
  return rows


def results_frame(study: StudyResults, measures: Mapping[str, Measure]) -> pd.DataFrame:
  """All numbers of the study, tidy: one row per recipe x stage x source.

  A source is in it once it is trained on or evaluated on in any stage.

  Args:
    measures: `measure` of each validation source by itself.
  """
  import pandas as pd

  sources = list(dict.fromkeys([*study.training_sources, *study.validation_sources]))
  ledger = accounts.accounts_frame(study).set_index(['folder', 'source']).drop(columns='kind')
  against = counterparts(study)
  rows = []
  for stage in accounts.recipes_frame(study).itertuples(index=False):
    base = against.get((stage.recipe, stage.position))
    for source in sources:
      key = (stage.folder, source)
      rows.append({
        **stage._asdict(),
        'baseline': study.baseline,
        'compared_with': base,
        'source': source,
        'kind': study.kind(source),
        **_scores(study.stages[stage.folder], source),
        **_numbers('bits_per_byte', _bits(measures, source, stage.folder)),
        **_numbers('change', _changes(measures, source, stage.folder, base)),
        **(ledger.loc[key].to_dict() if key in ledger.index else dict.fromkeys(ledger, math.nan)),
      })  # fmt: skip
  frame = pd.DataFrame(rows)
  counts = [column for column in frame if column.endswith(COUNTS)]
  return frame.astype(dict.fromkeys(counts, 'Int64'))


def _same_documents(stages: Sequence[StageResults], sources: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """(nats [M, N], bytes [N]) over the sources laid end to end."""
  first = stages[0]
  for stage in stages[1:]:
    for source in sources:
      try:
        statistics.require_same_documents(
          stage.documents[source].bytes_N, first.documents[source].bytes_N
        )
      except UserError as error:
        raise UserError(f"stages {first.folder} and {stage.folder}, source '{source}': {error}") from None
  nats = [np.concatenate([s.documents[name].nats_N for name in sources]) for s in stages]
  return np.stack(nats), np.concatenate([first.documents[name].bytes_N for name in sources])


def _bits_from_scores(stage: StageResults, sources: Sequence[str]) -> float:
  nats = np.array([stage.scores[name]['nats'] for name in sources])
  return statistics.bits_per_byte(nats, np.array([stage.scores[name]['bytes'] for name in sources]))


def _change(value: float, base: float) -> Estimate:
  return Estimate(value / base - 1 if base else math.nan)


def _bits(measures: Mapping[str, Measure], source: str, folder: str) -> Estimate:
  return measures[source].bits.get(folder, Estimate(math.nan)) if source in measures else Estimate(math.nan)


def _changes(measures: Mapping[str, Measure], source: str, own: str, base: str | None) -> Estimate:
  if source not in measures or base is None:
    return Estimate(math.nan)
  return measures[source].changes.get((own, base), Estimate(math.nan))


def _numbers(name: str, estimate: Estimate) -> dict[str, float]:
  return {name: estimate.value, f'{name}_low': estimate.low, f'{name}_high': estimate.high}


def _scores(stage: StageResults, source: str) -> dict[str, float]:
  score = stage.scores.get(source, {})
  names = ('documents', 'tokens', 'bytes', 'nats', 'loss')
  return {f'validation_{name}': score.get(name, math.nan) for name in names}


def load_results(study_dir: Path | str) -> pd.DataFrame:
  """`results_frame` of a study's folder: what results.csv holds.

  Raises:
    UserError: the folder is no study, or a file of it is damaged.
  """
  study = read_study(study_dir)
  return results_frame(study, {name: measure(study, [name]) for name in study.validation_sources})
