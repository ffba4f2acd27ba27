"""An instruction set that is prepared in a moment: short prompts and answers of made-up words, as bytes."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.instruction import Instruction
from codemix.data.prepare.source import prepare
from codemix.data.settings import Data

WORDS = ('name', 'a', 'stone', 'rain', 'größer', 'why', 'sum', 'list')
LAYOUT = Instruction('{ask}:', ' {say}')

Pair = tuple[str, str]  # of a prompt and an answer, as they stand in the document


def pairs(count: int, seed: int = 0, ask: int = 9, say: int = 6) -> list[Pair]:
  """`count` pairs of up to so many words each."""
  rng = random.Random(seed)
  words = lambda most: ' '.join(rng.choices(WORDS, k=rng.randint(1, most)))
  return [(f'{words(ask)}:', f' {words(say)}') for _ in range(count)]


def corpus(folder: Path, splits: dict[str, Sequence[Pair]], **settings) -> Corpus:
  """A corpus of these documents, in two files a split."""
  folder.mkdir(parents=True, exist_ok=True)
  for split, documents in splits.items():
    for number in range(2):
      lines = [json.dumps({'ask': ask.removesuffix(':'), 'say': say.removeprefix(' ')}) for ask, say in documents[number::2]]
      (folder / f'{split}-{number}.jsonl').write_text(''.join(line + '\n' for line in lines))
  files = {split: f'{split}-*.jsonl' for split in splits}
  return Corpus(**{'files': files, 'root': str(folder), 'layout': LAYOUT, **settings})


def in_order(documents: Sequence[Pair]) -> list[Pair]:
  """The documents as the corpus has them."""
  return [*documents[::2], *documents[1::2]]


def add(data: Data, name: str, corpus: Corpus) -> Data:
  """The data with a prepared corpus more."""
  data = dataclasses.replace(data, sources={**data.corpora, name: corpus}, task_modules=())
  for split in corpus.files:
    prepare(name, split, data, data.load_tokenizer(), lambda line: None)
  return data


def expected(documents: Sequence[Pair]) -> tuple[list[int], list[bool]]:
  """The stream of these documents as byte tokens with EOS, and which tokens are answers, by hand."""
  ids, counts = [], []
  for ask, say in documents:
    prompt, answer = ask.encode(), say.encode()
    ids += [*(3 + byte for byte in prompt + answer), 2]
    counts += [False] * len(prompt) + [True] * (len(answer) + 1)
  return ids, counts
