"""Searches the consumed rows for the items of evaluation sets and describes the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from codemix.contamination import result
from codemix.contamination.consumed import StageDraws
from codemix.contamination.decoding import make_decoder
from codemix.contamination.items import Items
from codemix.contamination.scan import search
from codemix.contamination.settings import Contamination
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.workers import Progress, Workers


def check(
  sets: Sequence[Items],
  sources: Mapping[str, PreparedSource],
  stages: Sequence[StageDraws],
  tokenizer: Tokenizer,
  folder: Path,
  settings: Contamination,
  workers: Workers,
  progress: Progress = lambda done: None,
) -> dict:
  """Finds the items of the sets in the rows that the stages drew; returns the content of `contamination.json`.

  Raises UserError if there is no set, or two sets have the same name.

  Args:
    sources: the training rows, by name.
    folder: for a file that all workers read.
    progress: called with the number of pieces that are done.
  """
  names = [items.name for items in sets]
  if not sets:
    raise UserError('no evaluation set is named: give --items=NAME=FILE, or set Contamination.sets or Study.validation.')
  if repeated := sorted({name for name in names if names.count(name) > 1}):
    raise UserError(f"two evaluation sets are named '{repeated[0]}'; give each a name of its own.")
  searched = [one for one in result.index_sets(sets, settings) if len(one.index.keys)]
  hits = search(sources, stages, [one.index for one in searched], make_decoder(tokenizer), folder, workers, progress)
  found = result.gather(searched, hits, stages)
  return result.describe(sets, searched, found, stages, sources, settings)
