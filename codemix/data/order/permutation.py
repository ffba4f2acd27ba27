"""A permutation of range(n) that is evaluated at any index without being stored.

Each epoch of a source reads its rows in an order of its own. The order is a balanced Feistel
network on the smallest even number of bits that holds n, walked along its cycle until it lands
inside the range (J. Black and P. Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). It
is written here, not taken from a library, because it is part of the data's identity: it may never
change with a release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

ROUNDS = 6


def round_keys(seed: int, source: str, epoch: int) -> np.ndarray:
  """uint64 [ROUNDS] keys for one epoch of one source of a run."""
  digest = hashlib.sha512(f'{seed}/{source}/{epoch}'.encode()).digest()
  return np.frombuffer(digest, '<u8')[:ROUNDS]


def permute(index: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
  """The images of `index` under the keyed permutation of range(size).

  Args:
    index: int64 [K], each in range(size), as are the images.
    size: the number of rows permuted, at least 1.
    keys: uint64 [ROUNDS] from `round_keys`.
  """
  return _walk(_feistel, index, size, keys)


def unpermute(image: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
  """The inverse of `permute`: int64 [K], the indices whose images these are."""
  return _walk(_feistel_back, image, size, keys)


def _walk(step: Callable, start: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
  half_bits = max(1, ((int(size) - 1).bit_length() + 1) // 2)
  found = step(np.asarray(start, np.uint64), half_bits, keys)
  # The domain is under four times `size`, so a walk takes four steps on average.
  while (outside := found >= size).any():
    found[outside] = step(found[outside], half_bits, keys)
  return found.astype(np.int64)


def _feistel(x: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
  shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
  left, right = x >> shift, x & mask
  for key in keys:
    left, right = right, left ^ (_mix(right ^ key) & mask)
  return (left << shift) | right


def _feistel_back(x: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
  shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
  left, right = x >> shift, x & mask
  for key in keys[::-1]:
    left, right = right ^ (_mix(left ^ key) & mask), left
  return (left << shift) | right


def _mix(x: np.ndarray) -> np.ndarray:
  """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))
