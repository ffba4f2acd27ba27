"""Bits per byte of a model on a set of documents, with intervals over the documents and over seeds.

Bits per byte does not depend on the tokenizer, so it compares models that cut text differently:

  bits per byte = (sum of nats over documents) / (ln 2 * sum of bytes over documents)

It is a ratio of sums, and documents are the unit that was sampled. The interval leaves out one
document at a time (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11) and
takes Student's t for the width. If a few long documents decide, their variance is itself poorly
known: the degrees of freedom are those of the *effective* number of documents, the smaller of

  (sum of bytes)^2 / (sum of bytes^2)                  Kish, "Survey Sampling", 1965, section 11.7
  1 + 2 (sum of u^2)^2 / (sum of u^4 - (sum of u^2)^2 / N)     Satterthwaite, Biometrics 2, 1946

with u the change of the figure when a document is left out: about N for N documents with normal u,
about 3 if one document decides. `tests/evaluation/coverage.py` measures how often the intervals
contain the true value.

Several sources are strata: another sample would have as many documents of each. So a document is
left out of its source, and the rest of that source is scaled up to replace it.

Two models are compared on the same documents: what makes a document easy or hard for both cancels
out, and the paired interval is narrower than the difference of two separate ones.

An interval over documents does not contain the variation between training runs with other seeds.
`over_seeds` adds it.

The score of a benchmark is a mean over its items, each between 0 and 1, and often right or wrong.
Student's t fails near 0 and 1: with 0 of 164 right it gives an interval of no width. So the interval
of a score is Wilson's, and that of a paired difference is of the form of Agresti and Min.

Shapes: N documents or items, M models, S seeds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from codemix.errors import UserError
from codemix.inference.difference import LEVEL, Difference

# With fewer effective documents than this, intervals may be too narrow: the sample then says little
# about long documents that it lacks.
FEW_DOCUMENTS = 30


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A figure and the ends of its interval; the ends are NaN if the interval is unknown.

  Attributes:
    documents: effective number of documents that the interval rests on; NaN without an interval.
    seeds: training runs that the figure is the mean of. With one, the interval covers the choice of
      documents alone; with more, documents and seeds.
    spread: standard deviation over the seeds; NaN with one.
    error: standard error over the documents or items, of a change of several seeds also over seeds; NaN if it is unknown.
    p: of no change; None if the noise of seeds is unknown.
    base_seeds: of a change of several seeds, the runs of the baseline.
    difference: of a change of several seeds in both arms, what it was computed as.
  """

  value: float
  low: float = math.nan
  high: float = math.nan
  documents: float = math.nan
  seeds: int = 1
  spread: float = math.nan
  error: float = math.nan
  p: float | None = None
  base_seeds: int | None = None
  difference: Difference | None = None

  @property
  def in_seeds(self) -> str:
    """'3 seeds', '3 against 5 seeds'."""
    against = f' against {self.base_seeds}' if self.base_seeds not in (None, self.seeds) else ''
    return f'{self.seeds}{against} seeds'

  @property
  def has_interval(self) -> bool:
    return not (math.isnan(self.low) or math.isnan(self.high))

  @property
  def rests_on_few(self) -> bool:
    """Whether so few documents decide the interval that it may be too narrow."""
    return self.documents < FEW_DOCUMENTS

  def excludes(self, value: float) -> bool:
    """Whether the interval is known and lies wholly above or wholly below `value`."""
    return self.has_interval and not self.low <= value <= self.high

  @property
  def is_effect(self) -> bool:
    """Whether a change is beyond the noise of documents *and* seeds; never so with one seed."""
    return self.seeds > 1 and self.spread > 0 and self.excludes(0)


def bits_per_byte(nats_N: np.ndarray, bytes_N: np.ndarray) -> float:
  """Bits per byte over the documents together: sum(nats) / (ln 2 * sum(bytes)).

  Raises UserError for no documents, no bytes in all of them, shapes that differ, or a negative or
  non-finite number.

  Args:
    nats_N: negative log-likelihood of each document, in nats, float [N].
    bytes_N: size of each document in UTF-8 bytes, int [N]; single documents may be empty.
  """
  nats_N, bytes_N = np.asarray(nats_N, np.float64), np.asarray(bytes_N, np.float64)
  if nats_N.shape != bytes_N.shape or bytes_N.ndim != 1:
    raise UserError(
      f'nats of shape {list(nats_N.shape)} and bytes of shape {list(bytes_N.shape)}: '
      'give one number of each for every document'
    )
  for name, values in (('nats', nats_N), ('bytes', bytes_N)):
    if not (np.isfinite(values).all() and (values >= 0).all()):
      raise UserError(f'{name} of some document are negative or not finite: evaluate it again')
  if bytes_N.sum() == 0:
    raise UserError(
      f'the {bytes_N.size} documents have no bytes: bits per byte needs a document that is not empty'
    )
  return float(nats_N.sum() / (math.log(2) * bytes_N.sum()))


def leave_one_out(values_MxN: np.ndarray, counts: Sequence[int]) -> np.ndarray:
  """Sums without each document in turn; the rest of its source is scaled up to replace it.

  Args:
    values_MxN: a number of each document, the sources laid end to end.
    counts: documents of each source; they sum to N.

  Returns:
    float64 [M, N]; NaN for the only document of a source, which nothing can replace.
  """
  values_MxN = np.asarray(values_MxN, np.float64)
  totals_Mx1 = values_MxN.sum(axis=1, keepdims=True)
  parts = []
  for source_Mxn in np.split(values_MxN, np.cumsum(counts)[:-1], axis=1):
    count = source_Mxn.shape[1]
    gone_Mxn = source_Mxn - source_Mxn.mean(axis=1, keepdims=True) if count else source_Mxn
    parts.append(totals_Mx1 - gone_Mxn * (count / (count - 1) if count > 1 else math.nan))
  return np.concatenate(parts, axis=1)


def jackknife(value: float, left_out_N: np.ndarray, bytes_N: np.ndarray, counts: Sequence[int]) -> Estimate:
  """`value` with its interval over documents.

  Args:
    left_out_N: the figure without each document, from sums of `leave_one_out`.
    bytes_N: sizes of the documents.
    counts: documents of each source; they sum to N.

  Returns:
    An unknown interval (NaN) if the figure without some document is unknown: a source has one
    document, or all but one are empty.
  """
  from scipy.special import stdtrit

  if not np.isfinite(left_out_N).all():
    return Estimate(float(value))
  variance = fourth = uncertain = 0.0
  for figures_n in np.split(np.asarray(left_out_N, np.float64), np.cumsum(counts)[:-1]):
    if not (count := len(figures_n)):
      continue
    squares_n = (count - 1) / count * (figures_n - figures_n.mean()) ** 2
    variance += squares_n.sum()
    fourth += (squares_n**2).sum()
    uncertain += squares_n.sum() ** 2 / count
  known = sum(count - 1 for count in counts if count)
  # Squares that are all alike have no spread to take the freedom from.
  freedom = 2 * variance**2 / gap if (gap := fourth - uncertain) > 1e-9 * fourth else math.inf
  sizes_N = np.asarray(bytes_N, np.float64)
  documents = min(sizes_N.sum() ** 2 / (sizes_N**2).sum(), 1 + freedom, 1 + known)
  error = math.sqrt(variance)
  half = float(stdtrit(max(documents - 1, 1.0), (1 + LEVEL) / 2) * error)
  return Estimate(float(value), float(value) - half, float(value) + half, float(documents), error=error)


def mean_score(scores_N: np.ndarray) -> Estimate:
  """The mean of items' scores with its interval by Wilson (JASA 22, 1927).

  The interval has a width also if all items are right or all are wrong. It is Wilson's for items that
  are right or wrong, and wider than needed for items with scores between (F1, pass@k, a mean over seeds).

  Args:
    scores_N: float [N], 0 to 1; N >= 1.
  """
  scores_N = np.asarray(scores_N, np.float64)
  count, mean, z = scores_N.size, float(scores_N.mean()), _normal_quantile()
  middle = (mean + z * z / (2 * count)) / (1 + z * z / count)
  half = z * math.sqrt(mean * (1 - mean) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
  # Rounding must not put the mean outside, at 0 and 1.
  return Estimate(mean, min(mean, middle - half), max(mean, middle + half), float(count), error=_standard_error(scores_N))


def mean_difference(differences_N: np.ndarray) -> Estimate:
  """The mean of paired differences of items' scores with its interval.

  Agresti and Min (Statistics in Medicine 24, 2005) add half an item to each cell of the table of
  (right, wrong) x (right, wrong): two items, of which one half gains and one half loses. So two
  models that agree on every item have an interval with a width. Here the same two items are added to
  differences of any size.

  Args:
    differences_N: float [N], -1 to 1; N >= 1.
  """
  differences_N = np.asarray(differences_N, np.float64)
  count = differences_N.size + 2
  mean, middle = float(differences_N.mean()), float(differences_N.sum() / count)
  square = float((differences_N**2).sum() + 1) / count
  half = _normal_quantile() * math.sqrt((square - middle**2) / count)
  low, high = min(mean, middle - half), max(mean, middle + half)
  return Estimate(mean, low, high, float(differences_N.size), error=_standard_error(differences_N))


def weighted_sum(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
  """Sum of weight x figure, the figures being of different items; the weights are not negative.

  The parts of each side of the interval add as squares (Zou and Donner, see `over_seeds`). The interval
  is unknown if that of a figure is; `documents` is the smallest of the figures'.
  """
  value = math.fsum(weight * figure.value for weight, figure in zip(weights, estimates, strict=True))
  side = lambda ends: math.hypot(*(w * (e - f.value) for w, e, f in zip(weights, ends, estimates, strict=True)))
  return Estimate(
    value,
    value - side([figure.low for figure in estimates]),
    value + side([figure.high for figure in estimates]),
    min(figure.documents for figure in estimates),
    error=math.hypot(*(weight * figure.error for weight, figure in zip(weights, estimates, strict=True))),
  )


def _normal_quantile() -> float:
  from scipy.special import ndtri

  return float(ndtri((1 + LEVEL) / 2))


def _standard_error(values_N: np.ndarray) -> float:
  return float(values_N.std(ddof=1) / math.sqrt(values_N.size)) if values_N.size > 1 else math.nan


def over_seeds(figures_S: Sequence[float], mean: Estimate) -> Estimate:
  """The mean over runs that differ in their seeds, with an interval over documents and seeds.

  The seeds' part is Student's t with S - 1 degrees of freedom, so it is wide with two or three
  seeds. The two parts of each side add as squares (the method of variance estimates recovery: Zou
  and Donner, Statistics in Medicine 27, 2008).

  Args:
    figures_S: the figure of each seed.
    mean: their mean with its interval over documents.

  Returns:
    With one seed, `mean` itself.
  """
  from scipy.special import stdtrit

  seeds = len(figures_S)
  if seeds < 2:
    return mean
  spread = float(np.std(figures_S, ddof=1))
  of_seeds = float(stdtrit(seeds - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(seeds)
  return dataclasses.replace(
    mean,
    low=mean.value - math.hypot(mean.value - mean.low, of_seeds),
    high=mean.value + math.hypot(mean.high - mean.value, of_seeds),
    seeds=seeds,
    spread=spread,
  )


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """above / below; NaN where `below` is not positive."""
  return np.divide(above, below, out=np.full(np.shape(above), math.nan), where=np.asarray(below) > 0)


def require_same_documents(bytes_N: np.ndarray, baseline_bytes_N: np.ndarray) -> None:
  """Raises UserError unless both evaluations saw documents of the same sizes in the same order."""
  bytes_N, baseline_bytes_N = np.asarray(bytes_N), np.asarray(baseline_bytes_N)
  if bytes_N.shape != baseline_bytes_N.shape:
    raise UserError(
      f'{bytes_N.size} documents cannot be paired with the {baseline_bytes_N.size} of the '
      'baseline: evaluate both on the same documents'
    )
  different = np.flatnonzero(bytes_N != baseline_bytes_N)
  if different.size:
    raise UserError(
      f'document {different[0]} has {bytes_N[different[0]]} bytes here and '
      f'{baseline_bytes_N[different[0]]} in the baseline ({different.size} differ): '
      'evaluate both on the same documents'
    )
