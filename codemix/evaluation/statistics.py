"""Bits per byte of a model on a set of documents, with bootstrap intervals over the documents.

Bits per byte does not depend on the tokenizer, so it compares models that cut text differently:

  bits per byte = (sum of nats over documents) / (ln 2 * sum of bytes over documents)

It is a ratio of sums, and documents are the unit that was sampled, so whole documents are
resampled (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the
percentile interval). The interval says how far the figure depends on *which validation documents*
were drawn. It does not contain the variation between training runs with other seeds.

Two models are compared on the same documents with the same resamples: what makes a document easy
or hard for both cancels out, and the paired interval is narrower than that of two separate ones.

Percentile intervals are somewhat too narrow for few documents (below about 30), and a single
document has none.

Shapes: N documents, M models, R resamples.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from codemix.errors import UserError

RESAMPLES = 2000
LEVEL = 0.95
# Draws held at once: 2**21 counts of eight bytes are 16 MiB, whatever the number of documents.
DRAWS_IN_MEMORY = 2**21


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A figure and the ends of its interval; the ends are NaN where nothing is known about it."""

  value: float
  low: float = math.nan
  high: float = math.nan

  @property
  def has_interval(self) -> bool:
    return not (math.isnan(self.low) or math.isnan(self.high))

  def excludes(self, value: float) -> bool:
    """Whether the interval is known and lies wholly above or wholly below `value`."""
    return self.has_interval and not self.low <= value <= self.high


def bits_per_byte(nats_N: np.ndarray, bytes_N: np.ndarray) -> float:
  """Bits per byte over the documents together: sum(nats) / (ln 2 * sum(bytes)).

  Args:
    nats_N: negative log-likelihood of each document, in nats, float [N].
    bytes_N: size of each document in UTF-8 bytes, int [N]; single documents may be empty.

  Raises:
    UserError: no documents, no bytes in all of them, shapes that differ, a negative or a
      non-finite number.
  """
  nats_1xN, bytes_N = _checked(np.asarray(nats_N)[None], bytes_N)
  return float(nats_1xN.sum() / (math.log(2) * bytes_N.sum()))


def bootstrap_bits_per_byte(
  nats_MxN: np.ndarray,
  bytes_N: np.ndarray,
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> np.ndarray:
  """Bits per byte of M models on each of R resamples of the same N documents.

  Row r holds all models on one and the same resample, so the differences within a row are paired.
  The resamples depend on (N, resamples, seed) alone.

  Args:
    nats_MxN: nats of each model on each document, float [M, N].
    bytes_N: size of each document in bytes, int [N].
    resamples: R.
    seed: of the resampling.

  Returns:
    float64 [R, M]. A resample that drew only empty documents is NaN.

  Raises:
    UserError: as `bits_per_byte`.
  """
  nats_MxN, bytes_N = _checked(nats_MxN, bytes_N)
  sums_RxK = _resampled_sums(np.column_stack([nats_MxN.T, bytes_N]), resamples, seed)
  bytes_Rx1 = sums_RxK[:, -1:]
  bits_RxM = sums_RxK[:, :-1] / math.log(2)
  return np.divide(bits_RxM, bytes_Rx1, out=np.full_like(bits_RxM, np.nan), where=bytes_Rx1 > 0)


def percentile_interval(value: float, resampled_R: np.ndarray, level: float = LEVEL) -> Estimate:
  """`value` with the central `level` of its resampled values as the interval; NaNs are left out."""
  if not 0 < level < 1:
    raise UserError(f'level = {level} is no share: give one between 0 and 1, such as {LEVEL}')
  tail = (1 - level) / 2
  low, high = np.nanquantile(resampled_R, [tail, 1 - tail])
  return Estimate(float(value), float(low), float(high))


def bits_per_byte_interval(
  nats_N: np.ndarray,
  bytes_N: np.ndarray,
  resamples: int = RESAMPLES,
  seed: int = 0,
  level: float = LEVEL,
) -> Estimate:
  """Bits per byte of one model with its interval over documents.

  A single document has no spread to resample: its interval is unknown (NaN), not of width zero.

  Raises:
    UserError: as `bits_per_byte`.
  """
  value = bits_per_byte(nats_N, bytes_N)
  if len(bytes_N) < 2:
    return Estimate(value)
  resampled_Rx1 = bootstrap_bits_per_byte(np.asarray(nats_N)[None], bytes_N, resamples, seed)
  return percentile_interval(value, resampled_Rx1[:, 0], level)


def relative_change(
  nats_N: np.ndarray,
  bytes_N: np.ndarray,
  baseline_nats_N: np.ndarray,
  baseline_bytes_N: np.ndarray,
  resamples: int = RESAMPLES,
  seed: int = 0,
  level: float = LEVEL,
) -> Estimate:
  """Change of bits per byte against a baseline on the same documents, as a fraction of it.

  model / baseline - 1: -0.03 is 3% fewer bits per byte, which is better. The interval is paired:
  each resample holds the same documents for both.

  Raises:
    UserError: the documents differ in number, order or size; the baseline is at 0 nats; and as
      `bits_per_byte`.
  """
  require_same_documents(bytes_N, baseline_bytes_N)
  base = bits_per_byte(baseline_nats_N, bytes_N)
  if base == 0:
    raise UserError('the baseline has 0 nats on these documents: a change relative to it has no size')
  value = bits_per_byte(nats_N, bytes_N) / base - 1
  if len(bytes_N) < 2:
    return Estimate(value)
  resampled_Rx2 = bootstrap_bits_per_byte(
    np.stack([nats_N, baseline_nats_N]), bytes_N, resamples, seed
  )
  return percentile_interval(value, resampled_change(*resampled_Rx2.T), level)


def resampled_change(resampled_R: np.ndarray, baseline_R: np.ndarray) -> np.ndarray:
  """model / baseline - 1 on each resample, float [R]; NaN where the baseline drew 0 bits."""
  ratio_R = np.divide(
    resampled_R, baseline_R, out=np.full_like(resampled_R, np.nan), where=baseline_R > 0
  )
  return ratio_R - 1


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


def _checked(nats_MxN: np.ndarray, bytes_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  nats_MxN = np.asarray(nats_MxN, np.float64)
  bytes_N = np.asarray(bytes_N, np.float64)
  if bytes_N.ndim != 1 or nats_MxN.shape[1:] != bytes_N.shape:
    raise UserError(
      f'nats of shape {list(nats_MxN.shape[1:])} and bytes of shape {list(bytes_N.shape)}: '
      'give one number of each for every document'
    )
  for name, values in (('nats', nats_MxN), ('bytes', bytes_N)):
    if not (np.isfinite(values).all() and (values >= 0).all()):
      raise UserError(f'{name} of some document are negative or not finite: evaluate it again')
  if bytes_N.sum() == 0:
    raise UserError(
      f'the {bytes_N.size} documents have no bytes: bits per byte needs a document that is not empty'
    )
  return nats_MxN, bytes_N


def _resampled_sums(values_NxK: np.ndarray, resamples: int, seed: int) -> np.ndarray:
  """Sums of each column over R draws of N rows with replacement, float64 [R, K].

  A draw is kept as how often each row occurs in it, which turns all sums into one matrix product.
  """
  if resamples < 1:
    raise UserError(f'resamples = {resamples}: give at least 1, such as {RESAMPLES}')
  rows = len(values_NxK)
  generator = np.random.default_rng(seed)
  at_once = max(1, DRAWS_IN_MEMORY // rows)
  sums_RxK = np.empty((resamples, values_NxK.shape[1]))
  for start in range(0, resamples, at_once):
    chunk = min(at_once, resamples - start)
    drawn_CxN = generator.integers(rows, size=(chunk, rows))
    drawn_CxN += np.arange(chunk)[:, None] * rows
    counts_CxN = np.bincount(drawn_CxN.ravel(), minlength=chunk * rows).reshape(chunk, rows)
    sums_RxK[start : start + chunk] = counts_CxN.astype(np.float64) @ values_NxK
  return sums_RxK
