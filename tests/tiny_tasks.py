"""A small benchmark in a file: which of three words goes on a line of the tiny study's text or code."""

from __future__ import annotations

import json
import random
from pathlib import Path

from codemix.data.evaluation_sets.folder import Wanted
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource
from codemix.evaluation.tasks.multiple_choice import MultipleChoice
from tests.tiny_study import WORDS

ITEMS = 20


def form(row) -> Item:
  return Item('', row['line'], tuple(f' {word}' for word in row['words']), (row['gold'],))


TASK = MultipleChoice('next_word', ItemSource(Wanted(('next_word.jsonl',), 'nowhere'), form, 'id'))


def write_items(folder: Path) -> Path:
  """Writes the file of TASK; returns its folder."""
  rng = random.Random(0)
  rows = []
  for number in range(ITEMS):
    words = rng.choices(WORDS['text'], k=8)
    rows.append({'id': f'item-{number}', 'line': ' '.join(words), 'words': rng.sample(WORDS['text'], 3), 'gold': number % 3})
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'next_word.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  return folder


def evaluation(folder: Path, **settings) -> Evaluation:
  return Evaluation(tasks=(TASK,), directory=str(folder), **settings)
