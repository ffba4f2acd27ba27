"""What a step is, and what all workers have in common.

A step is a function of one item. It can be repeated (it finds what it has finished), it needs no
other item's result, and it can be pickled. So all workers give the same results in the same order,
and a job that was stopped continues with the items that are missing.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from codemix.checked import checked
from codemix.errors import UserError

Step = Callable[[Any], Any]
Progress = Callable[[int], None]  # called in this process with the number of finished items


def no_progress(done: int) -> None:
  """Reports nothing."""


@runtime_checkable
class Workers(Protocol):
  """Runs a step for each of many items."""

  def map(
    self, function: Step, items: Sequence, progress: Progress = no_progress, folder: Path | None = None
  ) -> list:
    """Returns the results of `function` for the items, in the items' order.

    Args:
      function: the step.
      items: its arguments; errors name an item by `str(item)`.
      progress: called after each item with the number of finished ones.
      folder: a folder that this process and the workers see, for their results;
        needed where they run on other machines.

    Raises:
      CodemixError: the first one that a step raised; or a worker died, with its item.
      RuntimeError: a step raised something else; it holds the worker's traceback.
    """


@dataclasses.dataclass(frozen=True)
@checked
class InProcess:
  """One item after another in this process. The tokenizer's own threads use all cores."""

  def map(
    self, function: Step, items: Sequence, progress: Progress = no_progress, folder: Path | None = None
  ) -> list:
    results = []
    for item in items:
      results.append(function(item))
      progress(len(results))
    return results


def pickled(function: Step, items: Sequence) -> tuple[bytes, bytes]:
  """The step and the items, pickled.

  Raises UserError: it or one of the items cannot be sent to another process.
  """
  try:
    return pickle.dumps(function), pickle.dumps(list(items))
  except (pickle.PicklingError, AttributeError, TypeError) as error:
    raise UserError(
      f'this cannot be sent to another process: {error}. Define filters, layouts and readers at the top of a module, or set Data.workers to 1.'
    ) from None
