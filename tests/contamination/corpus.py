"""Sources and stages of which a test knows every row that was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codemix.contamination.check import check
from codemix.contamination.consumed import StageDraws
from codemix.contamination.items import Item, Items
from codemix.contamination.settings import Contamination
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.order.permutation import round_keys, unpermute
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.workers import InProcess
from tests import tiny_study

TOKENIZER = load_tokenizer('bytes')
SEED = 5
SETTINGS = Contamination()


def source(root: Path, name: str, texts: Sequence[str | bytes], length: int = tiny_study.LENGTH) -> PreparedSource:
  """A source of these documents, a token for each byte."""
  raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
  rows = [(np.append(TOKENIZER.encode(text), TOKENIZER.eos_id), len(text)) for text in raw]
  store = tiny_study.write_store(Data(directory=str(root), tokenizer='bytes'), name, 'train', rows)
  return PreparedSource(name, store, length, TOKENIZER.bos_id)


def whole(sources: Sequence[PreparedSource], name: str = 'pretrain-0') -> StageDraws:
  """A stage that draws every row."""
  return StageDraws(name, (name,), {s.name: (0, len(s)) for s in sources}, SEED)


def one_row(read: PreparedSource, row: int, name: str, parents: Sequence[str] = ()) -> StageDraws:
  """A stage that draws one row alone."""
  draw = int(unpermute(np.asarray([row]), len(read), round_keys(SEED, read.name, 0))[0])
  return StageDraws(name, (*parents, name), {read.name: (draw, 1)}, SEED)


def items(name: str, texts: Sequence[str], code: bool = False, part: str = 'question') -> Items:
  return Items(name, tuple(Item(str(i), ((part, text),)) for i, text in enumerate(texts)), code, {})


def checked(
  root: Path, sets: Sequence[Items], sources: Sequence[PreparedSource], stages: Sequence[StageDraws], settings: Contamination = SETTINGS
) -> dict:
  """What `contamination.json` would hold."""
  return check(sets, {s.name: s for s in sources}, stages, TOKENIZER, root, settings, InProcess())


def shares(root: Path, sets: Items, sources: Sequence[PreparedSource], stages: Sequence[StageDraws], settings: Contamination = SETTINGS) -> dict:
  """{item: {stage: share of what was consumed up to its end}} of the items that were found at all."""
  result = checked(root, [sets], sources, stages, settings)
  return {
    item['id']: {
      stage: rows['up to its end']['(all sources)'] for stage, rows in item['stages'].items() if rows['up to its end']
    }
    for item in result['items']
  }
