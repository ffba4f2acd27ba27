"""Intervals of one model, and of one against another, from the parts that the report puts together.

The report has the sums without each document of many models at once (`codemix.report.comparison`); here
is the same for plain arrays, as a reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate


def bits_per_byte_interval(nats_N: np.ndarray, bytes_N: np.ndarray, counts: Sequence[int] | None = None) -> Estimate:
  """Bits per byte with its interval; `counts` are the documents of each source, laid end to end."""
  value = statistics.bits_per_byte(nats_N, bytes_N)
  counts = counts or [len(bytes_N)]
  nats_out_N, bytes_out_N = statistics.leave_one_out(np.stack([nats_N, bytes_N]), counts)
  left_out_N = statistics.ratio(nats_out_N, bytes_out_N) / math.log(2)
  return statistics.jackknife(value, left_out_N, bytes_N, counts)


def relative_change(nats_N: np.ndarray, baseline_nats_N: np.ndarray, bytes_N: np.ndarray) -> Estimate:
  """model / baseline - 1, with its paired interval."""
  value = statistics.bits_per_byte(nats_N, bytes_N) / statistics.bits_per_byte(baseline_nats_N, bytes_N) - 1
  counts = [len(bytes_N)]
  own_N, base_N = statistics.leave_one_out(np.stack([nats_N, baseline_nats_N]), counts)
  return statistics.jackknife(value, statistics.ratio(own_N, base_N) - 1, bytes_N, counts)
