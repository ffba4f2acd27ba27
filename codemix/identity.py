"""Content hashes of plain data, and the differences between two values in words.

Stores, stages and checkpoints are named by hashes of their identity: JSON-like
data (dicts, lists, strings, numbers). The hash does not depend on the order of keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path


def canonical(value: object) -> str:
  """The canonical JSON of `value`: keys sorted, no white space, 2.0 written as 2, NaN refused."""
  return json.dumps(_normal(value), sort_keys=True, separators=(',', ':'), allow_nan=False)


def as_read(value: object) -> object:
  """`value` as it is read from the JSON that it is written to: tuples become lists, keys become strings."""
  return json.loads(json.dumps(value))


def digest(value: object) -> str:
  """sha256 of the canonical JSON, 64 hex digits."""
  return hashlib.sha256(canonical(value).encode()).hexdigest()


def _normal(value: object) -> object:
  """The same data with whole floats as ints, so that `200e9` equals `200_000_000_000`."""
  if isinstance(value, dict):
    return {key: _normal(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [_normal(item) for item in value]
  return int(value) if isinstance(value, float) and value.is_integer() else value


def file_digest(path: Path | str) -> str:
  """sha256 of a file's bytes, 64 hex digits; `path` may be in a bucket."""
  with open(path, 'rb') if isinstance(path, str) else path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def differences(expected: object, found: object, path: str = '') -> Iterator[str]:
  """Yields 'model.width: 128 expected, 96 found' for each leaf that differs."""
  if isinstance(expected, dict) and isinstance(found, dict):
    for key in sorted(expected.keys() | found.keys()):
      below = f'{path}.{key}' if path else str(key)
      yield from differences(expected.get(key, '(absent)'), found.get(key, '(absent)'), below)
  elif expected != found:
    yield f'{path}: {expected!r} expected, {found!r} found'
