import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codemix.data.order.permutation import permute, round_keys, unpermute


@given(st.integers(1, 3000), st.integers(0, 2**31), st.integers(0, 9))
def test_every_row_of_an_epoch_comes_exactly_once(size, seed, epoch):
  image = permute(np.arange(size), size, round_keys(seed, 'code', epoch))
  assert sorted(image.tolist()) == list(range(size))


@given(st.integers(1, 3000), st.integers(0, 2**31))
def test_the_inverse_leads_back(size, seed):
  keys = round_keys(seed, 'code', 1)
  index = np.arange(size)
  np.testing.assert_array_equal(unpermute(permute(index, size, keys), size, keys), index)


def test_an_index_has_the_same_image_alone_and_among_others():
  keys = round_keys(7, 'text', 0)
  together = permute(np.arange(1000), 1000, keys)
  assert [int(permute(np.asarray([i]), 1000, keys)[0]) for i in range(0, 1000, 37)] == together[::37].tolist()


def test_epochs_sources_and_seeds_each_have_an_order_of_their_own():
  orders = {
    tuple(permute(np.arange(64), 64, round_keys(seed, source, epoch)).tolist())
    for seed in (0, 1)
    for source in ('text', 'code')
    for epoch in (0, 1, 2)
  }
  assert len(orders) == 12


def test_the_order_of_released_data_never_changes():
  # Part of the data's identity: if this fails, NUMERICS must rise and old runs cannot be resumed.
  assert permute(np.arange(10), 10, round_keys(0, 'local_text', 0)).tolist() == GOLDEN
  assert permute(np.asarray([0, 1, 10**12 - 1]), 10**12, round_keys(3, 'code', 2)).tolist() == GOLDEN_LARGE


def test_a_permutation_looks_random():
  size = 4096
  image = permute(np.arange(size), size, round_keys(0, 'x', 0))
  # The mean displacement of a random permutation is n/3; its standard error here is about 15.
  assert abs(np.abs(image - np.arange(size)).mean() - size / 3) < 100
  assert (np.diff(image) == 1).sum() < 10


GOLDEN = [9, 5, 7, 3, 8, 0, 4, 2, 1, 6]
GOLDEN_LARGE = [185754491021, 590956002479, 565089010081]
