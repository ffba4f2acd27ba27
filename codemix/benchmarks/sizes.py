"""What the sizes of all benchmarks have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

from codemix.errors import UserError


def require_counts(size: Any, may_be_zero: tuple[str, ...] = ()) -> None:
  """Refuses a `Size` of which a number is below 1, or below 0 where that has a meaning."""
  for name, number in dataclasses.asdict(size).items():
    least = 0 if name in may_be_zero else 1
    if number < least:
      raise UserError(f'--size={name}={number}: write {least} or more.')
