"""A made-up language in which a name says what comes next, and a study of what its variants teach.

A document is lines such as `QX = ZB`. Each name has one mate, in all documents: whoever knows the pairs predicts the right
side of each line. The lines have no order, so that shuffling them takes nothing away. In `pairless` the same words stand
in the same form, with any name on the right side: what a model scores there it scores without the pairs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import codemix
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.variants import variants
from codemix.data.transformations import RenameIdentifiers, ShuffleLines
from tests import tiny_study

LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ'
PAIRS = 8  # of names: each has its first letter, so that little is to be learned but who goes with whom
LINES = 4  # of a document; no name stands in two of them
LENGTH, BATCH = 33, 16  # a document and its EOS

KINDS = {
  'code': (),
  'lines_shuffled': (ShuffleLines(),),
  'names_of_others': (RenameIdentifiers('own'),),
  'names_numbered': (RenameIdentifiers(),),
}
BASELINE = 'pairless'
ARMS = (BASELINE, *KINDS)


def documents(count: int, seed: int, paired: bool) -> list[str]:
  rng = random.Random(0)
  left = [letter + rng.choice(LETTERS) for letter in LETTERS[:PAIRS]]
  right = rng.sample([letter + rng.choice(LETTERS) for letter in LETTERS[PAIRS : 2 * PAIRS]], PAIRS)
  rng = random.Random(seed)
  made = []
  for _ in range(count):
    chosen = rng.sample(range(PAIRS), LINES)
    mates = chosen if paired else rng.sample(range(PAIRS), LINES)
    made.append(''.join(f'{left[name]} = {right[mate]}\n' for name, mate in zip(chosen, mates, strict=True)))
  return made


def data(root: Path, count: int) -> codemix.Data:
  """The variants as sources, matched, and prepared."""
  corpora = {}
  for name, paired in (('code', True), (BASELINE, False)):
    # The arm without pairs has more documents, of which it reads as many as the others have.
    for split, size in (('train', count if paired else count + 50), ('validation', 100)):
      path = root / 'raw' / f'{name}-{split}.jsonl'
      path.parent.mkdir(parents=True, exist_ok=True)
      made = documents(size, seed=size + paired, paired=paired)
      path.write_text(''.join(json.dumps({'text': text, 'language': 'python'}) + '\n' for text in made))
    files = {split: f'{name}-{split}.jsonl' for split in ('train', 'validation')}
    corpora[name] = Corpus(files, root=str(root / 'raw'), kind='code')
  return codemix.Data(
    directory=str(root / 'data'),
    sources=[variants(corpora['code'], KINDS), {BASELINE: corpora[BASELINE]}],
    matched=[ARMS],
    task_modules=(),
  )


def study(arms: Sequence[str], steps: int, seeds: int) -> codemix.Study:
  """A recipe of each arm and seed, scored on held-out documents as they are written."""
  stage = lambda arm: codemix.Stage(
    name=arm,
    mixture={arm: 1.0},
    tokens=steps * BATCH * LENGTH,
    batch=BATCH,
    schedule=codemix.WarmupCosine(peak=1e-2, warmup_steps=10, floor=1e-3),
  )
  recipes = {
    f'{arm}_{seed}': tiny_study.recipe(stage(arm), length=LENGTH, seed=seed, max_epochs=50.0) for arm in arms for seed in range(seeds)
  }
  return codemix.Study(name='planted', recipes=recipes, baseline=f'{BASELINE}_0', validation=('code',))
