"""pass@k is the share of subsets of k samples that hold a right one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.evaluation.tasks.pass_at_k import pass_at_k


@given(st.data())
def test_it_is_the_mean_over_all_subsets(data):
  samples = data.draw(st.integers(1, 9))
  right, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
  subsets = list(itertools.combinations(range(samples), k))
  assert pass_at_k(samples, right, k) == pytest.approx(sum(min(subset) < right for subset in subsets) / len(subsets))


@given(st.integers(1, 10**5), st.data())
def test_one_sample_passes_as_often_as_samples_do(samples, data):
  right = data.draw(st.integers(0, samples))
  assert pass_at_k(samples, right, 1) == pytest.approx(right / samples)


@pytest.mark.parametrize('of', [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_what_is_not_defined_is_refused(of):
  with pytest.raises(ValueError, match='pass@'):
    pass_at_k(*of)
