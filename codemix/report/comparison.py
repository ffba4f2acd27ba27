"""Bits per byte of every recipe and arm after every stage, with intervals, beside the baseline.

A recipe is compared with the baseline's recipe of its own model and seed (`arms.baselines`), and a
stage with the one of that recipe that ends after the same number of tokens: a model after half of
the tokens beside one after all of them would show the budget, not the mixture. Only a recipe's last
stage is compared at any rate, with the baseline's last where none matches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.report import ledger_frames
from codemix.report.arms import Arm, arms, baseline_arms, baselines
from codemix.report.results import StageResults, StudyResults, read_study

if TYPE_CHECKING:
  import pandas as pd

# Budgets become whole steps, so stages of one budget may end a few steps apart.
SAME_TOKENS = 0.01
# Columns of the results that hold whole numbers, by how their names end; pandas would make them
# floating-point wherever one is not known.
COUNTS = ('rows', 'tokens', 'documents', 'bytes', 'steps', 'steps_before', 'tokens_so_far', 'seed', 'parameters')


@dataclasses.dataclass(frozen=True)
class Measure:
  """Bits per byte on a set of validation sources taken together, of the stages evaluated on all of them.

  Attributes:
    totals: (nats, bytes) by stage folder.
    counts: documents of each source; the same for all stages.
    bytes_N: their sizes.
    nats_out: by stage folder, the nats without each document (`statistics.leave_one_out`), float
      [N]; no entry for stages without their per-document files.
    bytes_out_N: the bytes without each document.
  """

  sources: tuple[str, ...]
  totals: Mapping[str, tuple[float, float]]
  counts: tuple[int, ...]
  bytes_N: np.ndarray
  nats_out: Mapping[str, np.ndarray]
  bytes_out_N: np.ndarray

  @property
  def documents(self) -> int:
    return sum(self.counts)

  def bits(self, folders: Iterable[str]) -> Estimate | None:
    """The mean over these stages, which are of one arm's seeds; None where none is evaluated."""
    known = [folder for folder in dict.fromkeys(folders) if folder in self.totals]
    return self._over_seeds([self._bits(f) for f in known], [self._bits_out(f) for f in known])

  def change(self, pairs: Iterable[tuple[str, str]]) -> Estimate | None:
    """The mean of these changes (stage, stage of the baseline), which are of one arm's seeds."""
    known = [pair for pair in dict.fromkeys(pairs) if all(folder in self.totals for folder in pair)]
    figures = [_change(self._bits(own), self._bits(base)) for own, base in known]
    return self._over_seeds(figures, [self._change_out(own, base) for own, base in known])

  def _over_seeds(self, figures: Sequence[float], out: Sequence[np.ndarray | None]) -> Estimate | None:
    if not figures:
      return None
    mean = Estimate(float(np.mean(figures)))
    if all(left_out is not None for left_out in out) and self.documents > 1:
      mean = statistics.jackknife(mean.value, np.mean(out, axis=0), self.bytes_N, self.counts)
    return statistics.over_seeds(figures, mean)

  def _bits(self, folder: str) -> float:
    nats, size = self.totals[folder]
    return nats / (math.log(2) * size)

  def _bits_out(self, folder: str) -> np.ndarray | None:
    nats_N = self.nats_out.get(folder)
    return None if nats_N is None else statistics.ratio(nats_N, self.bytes_out_N) / math.log(2)

  def _change_out(self, own: str, base: str) -> np.ndarray | None:
    own_N, base_N = self.nats_out.get(own), self.nats_out.get(base)
    return None if own_N is None or base_N is None else statistics.ratio(own_N, base_N) - 1


@dataclasses.dataclass(frozen=True)
class Row:
  """A recipe, or an arm over its seeds, after one of its stages: a line of the results.

  Attributes:
    name: of the recipe or arm.
    folders: the stage of each seed.
    tokens: of the stage. tokens_so_far and code_share: from the first step on; of the first seed.
    bits, changes: by name of the measure; no entry where there is no figure.
    against: the stage of the baseline that each seed is compared with, where there is one.
    is_baseline: whether it is what others are compared with.
  """

  name: str
  position: int
  last: bool
  stage: StageResults
  folders: tuple[str, ...]
  tokens: float
  tokens_so_far: float
  code_share: float
  bits: Mapping[str, Estimate]
  changes: Mapping[str, Estimate]
  against: tuple[str | None, ...]
  is_baseline: bool

  @property
  def is_compared_with_itself(self) -> bool:
    """Whether the models compared with are these very models."""
    return self.folders == self.against


def counterparts(study: StudyResults) -> dict[tuple[str, int], str]:
  """(recipe, position) to the stage folder of the baseline that it is compared with.

  Without an entry: the recipe has no baseline, or an earlier stage than the last has no stage of
  the baseline that ends after as many tokens (within SAME_TOKENS).
  """
  frame = ledger_frames.recipes_frame(study)
  against = baselines(study)
  found = {}
  for row in frame.itertuples():
    if row.recipe not in against:
      continue
    base = frame[frame.recipe == against[row.recipe]]
    gaps = (base.tokens_so_far / row.tokens_so_far - 1).abs()
    if gaps.notna().any() and gaps.min() <= SAME_TOKENS:
      found[row.recipe, row.position] = base.folder[gaps.idxmin()]
    elif row.last:
      found[row.recipe, row.position] = base.folder.iloc[-1]
  return found


def measure(study: StudyResults, sources: Sequence[str]) -> Measure:
  """Bits per byte on the documents of `sources` together.

  Stages without their per-document files have a value and no interval.

  Raises:
    UserError: two stages were evaluated on different documents of a source.
  """
  stages = [s for s in study.stages.values() if sources and all(name in s.scores for name in sources)]
  whole = [stage for stage in stages if all(name in stage.documents for name in sources)]
  nats_out, bytes_N, bytes_out_N, counts = {}, np.array([]), np.array([]), ()
  if whole:
    nats_MxN, bytes_N, counts = _same_documents(whole, sources)
    *out_MxN, bytes_out_N = statistics.leave_one_out(np.vstack([nats_MxN, bytes_N]), counts)
    nats_out = {stage.folder: out_N for stage, out_N in zip(whole, out_MxN, strict=True)}
  elif stages:
    counts = tuple(int(stages[0].scores[name]['documents']) for name in sources)
  return Measure(
    sources=tuple(sources),
    totals={stage.folder: _totals(stage, sources) for stage in stages},
    counts=counts,
    bytes_N=bytes_N,
    nats_out=nats_out,
    bytes_out_N=bytes_out_N,
  )


def recipe_rows(study: StudyResults, measures: Mapping[str, Measure]) -> list[Row]:
  """Every recipe after every stage, in the study's order."""
  return _rows(study, measures, [Arm(name, (name,)) for name in study.recipes])


def arm_rows(study: StudyResults, measures: Mapping[str, Measure]) -> list[Row]:
  """Every arm after every stage, over those of its seeds that have been evaluated."""
  return _rows(study, measures, arms(study))


def _rows(study: StudyResults, measures: Mapping[str, Measure], groups: Sequence[Arm]) -> list[Row]:
  against, ground = counterparts(study), baseline_arms(study)
  lines = {(line.recipe, line.position): line for line in ledger_frames.recipes_frame(study).itertuples()}
  rows = []
  for group in groups:
    for position, folder in enumerate(study.recipes[group.recipes[0]].stages, 1):
      line = lines[group.recipes[0], position]
      folders = tuple(study.recipes[name].stages[position - 1] for name in group.recipes)
      bases = tuple(against.get((name, position)) for name in group.recipes)
      pairs = [pair for pair in zip(folders, bases, strict=True) if pair[1] is not None]
      bits = {name: m.bits(folders) for name, m in measures.items()}
      changes = {name: m.change(pairs) for name, m in measures.items()}
      rows.append(
        Row(
          name=group.name,
          position=position,
          last=line.last,
          stage=study.stages[folder],
          folders=folders,
          tokens=line.tokens,
          tokens_so_far=line.tokens_so_far,
          code_share=line.code_share_so_far,
          bits={name: figure for name, figure in bits.items() if figure is not None},
          changes={name: figure for name, figure in changes.items() if figure is not None},
          against=bases,
          is_baseline=all(name in ground for name in group.recipes),
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
  ledger = ledger_frames.accounts_frame(study).set_index(['folder', 'source']).drop(columns='kind')
  against, base_of = counterparts(study), baselines(study)
  arm_of = {recipe: arm.name for arm in arms(study) for recipe in arm.recipes}
  rows = []
  for stage in ledger_frames.recipes_frame(study).itertuples(index=False):
    base = against.get((stage.recipe, stage.position))
    recipe = study.recipes[stage.recipe]
    for source in sources:
      key = (stage.folder, source)
      rows.append({
        'arm': arm_of[stage.recipe],
        'seed': math.nan if recipe.seed is None else recipe.seed,
        'parameters': recipe.model.get('parameters', math.nan),
        **stage._asdict(),
        'baseline': base_of.get(stage.recipe),
        'compared_with': base,
        'source': source,
        'kind': study.kind(source),
        **_scores(study.stages[stage.folder], source),
        **_numbers('bits_per_byte', _bits(measures, source, stage.folder)),
        **_numbers('change', _changes(measures, source, stage.folder, base)),
        **(ledger.loc[key].to_dict() if key in ledger.index else dict.fromkeys(ledger, math.nan)),
      })  # fmt: skip
  frame = pd.DataFrame(rows)
  counts = [column for column in frame if column.endswith(COUNTS) and not column.endswith('effective_documents')]
  return frame.astype(dict.fromkeys(counts, 'Int64'))


def _same_documents(
  stages: Sequence[StageResults], sources: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
  """(nats [M, N], bytes [N]) over the sources laid end to end, and the documents of each."""
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
  sizes = [first.documents[name].bytes_N for name in sources]
  return np.stack(nats), np.concatenate(sizes), tuple(len(bytes_n) for bytes_n in sizes)


def _totals(stage: StageResults, sources: Sequence[str]) -> tuple[float, float]:
  nats = np.array([stage.scores[name]['nats'] for name in sources])
  sizes = np.array([stage.scores[name]['bytes'] for name in sources])
  statistics.bits_per_byte(nats, sizes)  # raises where they are none
  return float(nats.sum()), float(sizes.sum())


def _change(value: float, base: float) -> float:
  return value / base - 1 if base else math.nan


def _bits(measures: Mapping[str, Measure], source: str, folder: str) -> Estimate:
  return (source in measures and measures[source].bits([folder])) or Estimate(math.nan)


def _changes(measures: Mapping[str, Measure], source: str, own: str, base: str | None) -> Estimate:
  if source not in measures or base is None:
    return Estimate(math.nan)
  return measures[source].change([(own, base)]) or Estimate(math.nan)


def _numbers(name: str, estimate: Estimate) -> dict[str, float]:
  return {
    name: estimate.value,
    f'{name}_low': estimate.low,
    f'{name}_high': estimate.high,
    f'{name}_effective_documents': estimate.documents,
  }


def _scores(stage: StageResults, source: str) -> dict[str, float]:
  score = stage.scores.get(source, {})
  names = ('documents', 'tokens', 'bytes', 'nats', 'loss')
  return {f'validation_{name}': score.get(name, math.nan) for name in names}


def load_results(study_dir: Path | str) -> pd.DataFrame:
  """`results_frame` of a study's folder: what results.csv holds.

  Raises:
    UserError: the folder is not that of a study, or a file of it is damaged.
  """
  study = read_study(study_dir)
  return results_frame(study, {name: measure(study, [name]) for name in study.validation_sources})
