"""Bits per byte of every recipe and arm after every stage, with intervals, beside the baseline.

A recipe is compared with the recipe of its seed in its baseline's arm (`arms.baselines`), and an
arm of several seeds with all seeds of that arm. A stage is compared with the stage of the
baseline that ends after the same number of tokens: otherwise the difference in budget would look like
an effect of the mixture. If there is no such stage, only the recipe's last stage is compared, with the
baseline's last, and the difference is not called an effect (`codemix.studies.counterpart`, `Contrast.same_tokens`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.report import seed_difference
from codemix.report.arms import baseline_arms
from codemix.report.contrast import Contrast
from codemix.report.results import StageResults, StudyResults
from codemix.studies.arms import Arm
from codemix.studies.counterpart import counterpart


@dataclasses.dataclass(frozen=True)
class Measure:
  """Bits per byte on a set of validation sources together, of the stages evaluated on all of them.

  Attributes:
    totals: (nats, bytes) by stage folder.
    counts: documents of each source; the same for all stages.
    bytes_N: sizes of the documents.
    nats_out: by stage folder, the nats without each document (`statistics.leave_one_out`), float
      [N]; no entry for stages without per-document files.
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
    """The mean over these stages, one per seed of an arm; None if none is evaluated."""
    known = [folder for folder in dict.fromkeys(folders) if folder in self.totals]
    return self._over_seeds([self.figure(folder) for folder in known])

  def change(self, contrast: Contrast) -> Estimate | None:
    """The relative change of the mean; None if nothing that is compared was evaluated."""
    known = contrast.of(lambda folder: folder in self.totals)
    if known.is_crossed and (found := self._crossed(known)):
      return found
    return self._over_seeds([self._change(*pair) for pair in known.pairs])

  def _crossed(self, contrast: Contrast) -> Estimate | None:
    """The change over several seeds of both arms; None if it has no interval over documents."""
    own, base = ([self.figure(folder) for folder in of.values()] for of in (contrast.own, contrast.base))
    if any(out is None for _, out in (*own, *base)) or self.documents < 2 or not all(value for value, _ in base):
      return None
    (own_S, own_SxN), (base_S, base_SxN) = (tuple(np.stack(column) for column in zip(*of, strict=True)) for of in (own, base))
    out_N = statistics.ratio(own_SxN.mean(axis=0), base_SxN.mean(axis=0)) - 1
    over_documents = statistics.jackknife(own_S.mean() / base_S.mean() - 1, out_N, self.bytes_N, self.counts)
    if math.isnan(over_documents.error):
      return None
    return seed_difference.of_documents(over_documents, own_S, base_S, own_SxN, base_SxN, self.counts, contrast.shares_seeds)

  def _over_seeds(self, figures: Sequence[tuple[float, np.ndarray | None]]) -> Estimate | None:
    """The mean of figures, each given with what it is without each document."""
    if not figures:
      return None
    return statistics.over_seeds([value for value, _ in figures], self._over_documents(figures))

  def _over_documents(self, figures: Sequence[tuple[float, np.ndarray | None]]) -> Estimate:
    """The mean of figures, with its interval over documents if all are known without each document."""
    values, out = zip(*figures, strict=True)
    mean = float(np.mean(values))
    if any(left_out is None for left_out in out) or self.documents < 2:
      return Estimate(mean)
    return statistics.jackknife(mean, np.mean(out, axis=0), self.bytes_N, self.counts)

  def figure(self, folder: str) -> tuple[float, np.ndarray | None]:
    """(bits per byte, the same without each document or None if that is not known) of a stage in `totals`."""
    nats, size = self.totals[folder]
    nats_N = self.nats_out.get(folder)
    out_N = None if nats_N is None else statistics.ratio(nats_N, self.bytes_out_N) / math.log(2)
    return nats / (math.log(2) * size), out_N

  def _change(self, own: str, base: str) -> tuple[float, np.ndarray | None]:
    (above, _), (below, _) = self.figure(own), self.figure(base)
    own_N, base_N = self.nats_out.get(own), self.nats_out.get(base)
    out_N = None if own_N is None or base_N is None else statistics.ratio(own_N, base_N) - 1
    return above / below - 1 if below else math.nan, out_N


@dataclasses.dataclass(frozen=True)
class Row:
  """A recipe, or an arm over its seeds, after one of its stages: a line of the results.

  Attributes:
    name: of the recipe or arm.
    stage: of the first seed. folders: the stage of each seed.
    steps, tokens: of the stage, of the first seed: realised, or planned until the stage is done;
      NaN until it is planned.
    steps_before: before the stage.
    tokens_so_far, code_tokens_so_far: from the recipe's first step on. Of code: NaN if the kind of
      a source is not declared.
    bits, changes: by name of the measure; no entry if there is no figure.
    against: the stage of the baseline with each seed of the arm, or None.
    contrast: what its changes compare.
    is_baseline: whether it is compared with itself: it is a baseline, and has none of its own.
  """

  name: str
  position: int
  last: bool
  stage: StageResults
  folders: tuple[str, ...]
  steps: float
  steps_before: float
  tokens: float
  tokens_so_far: float
  code_tokens_so_far: float
  bits: Mapping[str, Estimate]
  changes: Mapping[str, Estimate]
  against: tuple[str | None, ...]
  contrast: Contrast
  is_baseline: bool

  @property
  def code_share(self) -> float:
    """Of the tokens so far."""
    return self.code_tokens_so_far / self.tokens_so_far if self.tokens_so_far else math.nan

  @property
  def is_compared_with_itself(self) -> bool:
    """Whether the models compared with are these very models."""
    return self.folders == self.against


def measures_by_source(study: StudyResults) -> dict[str, Measure]:
  """A measure for each validation source."""
  return {source: measure(study, [source]) for source in study.validation_sources}


def measure(study: StudyResults, sources: Sequence[str]) -> Measure:
  """Bits per byte on the documents of `sources` together.

  Stages without per-document files have a value and no interval. Raises UserError if two stages
  were evaluated on different documents of a source.
  """
  stages = [stage for stage in study.stages.values() if all(name in stage.scores for name in sources)]
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
  return arm_rows(study, measures, [Arm(name, (name,)) for name in study.recipes])


def arm_rows(study: StudyResults, measures: Mapping[str, Measure], groups: Sequence[Arm]) -> list[Row]:
  """Every arm after every stage, over those of its seeds that have been evaluated."""
  progress = {name: _progress(study, name) for name in study.recipes}
  base_of = baseline_arms(study)
  rows = []
  for group in groups:
    stages = study.recipes[group.recipes[0]].stages
    for index, folder in enumerate(stages):
      contrast = _contrast(study, progress, group, index, base_of[group.recipes[0]])
      bits = {name: m.bits(contrast.own.values()) for name, m in measures.items()}
      changes = {name: m.change(contrast) for name, m in measures.items()}
      rows.append(
        Row(
          name=group.name,
          position=index + 1,
          last=index == len(stages) - 1,
          stage=study.stages[folder],
          folders=tuple(contrast.own.values()),
          **progress[group.recipes[0]][index],
          bits={name: figure for name, figure in bits.items() if figure is not None},
          changes={name: figure for name, figure in changes.items() if figure is not None},
          against=tuple(contrast.base.get(seed) for seed in contrast.own),
          contrast=contrast,
          is_baseline=all(name in base_of[name] for name in group.recipes),
        )
      )
  return rows


def _progress(study: StudyResults, recipe: str) -> list[dict[str, float]]:
  """The steps and tokens of `Row` after each stage of a recipe."""
  lines = []
  steps_before = tokens_so_far = code_tokens_so_far = 0
  for folder in study.recipes[recipe].stages:
    stage = study.stages[folder]
    uses = stage.realised or stage.uses
    tokens = {source: use['loss_tokens'] for source, use in uses.items()}
    kinds = [study.kinds.get(source) for source in tokens]
    code = sum(count for kind, count in zip(kinds, tokens.values(), strict=True) if kind == 'code')
    steps = stage.plan['steps'] if stage.plan else math.nan
    tokens_so_far += sum(tokens.values()) if uses else math.nan
    code_tokens_so_far += code if uses and None not in kinds else math.nan
    lines.append({
      'steps': steps,
      'steps_before': steps_before,
      'tokens': sum(tokens.values()) if uses else math.nan,
      'tokens_so_far': tokens_so_far,
      'code_tokens_so_far': code_tokens_so_far,
    })  # fmt: skip
    steps_before += steps
  return lines


def _contrast(study: StudyResults, progress: Mapping[str, list[dict[str, float]]], group: Arm, index: int, runs: Sequence[str]) -> Contrast:
  """The stage `index` of each run of an arm, and the stages of the baseline's `runs` that end after as many tokens."""
  own = {study.recipes[name].seed: study.recipes[name].stages[index] for name in group.recipes}
  ends = lambda recipe: [line['tokens_so_far'] for line in progress[recipe]]
  found = counterpart(ends(group.recipes[0]), index, ends(runs[0])) if runs else None
  if found is None:
    return Contrast(own, {})
  position, same_tokens = found
  base = {study.recipes[name].seed: study.recipes[name].stages[position] for name in runs}
  # A single run is compared with that of its seed.
  return Contrast(own, base if len(own) > 1 else {seed: folder for seed, folder in base.items() if seed in own}, same_tokens)


def _same_documents(
  stages: Sequence[StageResults], sources: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
  """(nats [M, N], bytes [N]) over the sources laid end to end, and the documents of each."""
  first = stages[0]
  for stage in stages[1:]:
    for source in sources:
      try:
        statistics.require_same_documents(stage.documents[source]['bytes'], first.documents[source]['bytes'])
      except UserError as error:
        raise UserError(f"stages {first.folder} and {stage.folder}, source '{source}': {error}") from None
  nats = [np.concatenate([s.documents[name]['nats'] for name in sources]) for s in stages]
  sizes = [first.documents[name]['bytes'] for name in sources]
  return np.stack(nats), np.concatenate(sizes), tuple(len(bytes_n) for bytes_n in sizes)


def _totals(stage: StageResults, sources: Sequence[str]) -> tuple[float, float]:
  nats = np.array([stage.scores[name]['nats'] for name in sources])
  sizes = np.array([stage.scores[name]['bytes'] for name in sources])
  statistics.bits_per_byte(nats, sizes)  # raises UserError if they are not valid
  return float(nats.sum()), float(sizes.sum())
