"""Text without choices: the last word of a passage (LAMBADA), and whole documents (WikiText, text of a user's own)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder, Wanted
from codemix.errors import NonFiniteError, UserError
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.evaluation.scoring import score_documents
from codemix.evaluation.statistics import bits_per_byte
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.item_source import ItemSource, Row
from codemix.evaluation.tasks.task import Items, Settings
from codemix.evaluation.tasks.task_evaluator import (
  TaskEvaluator,
  ask,
  gold_bits_per_byte,
  refuse_completions,
)
from codemix.identity import digest
from codemix.training.progress import scoring_progress


@dataclasses.dataclass(frozen=True)
class LastWord:
  """A task whose answer is the passage's last word: right if each of its tokens is the likeliest one.

  Attributes:
    name: of the task.
    source: its items, with the word as `reference`.
  """

  name: str
  source: ItemSource
  metric: ClassVar[str] = 'accuracy_greedy'

  def read(self, folder: EvaluationFolder) -> Items:
    return self.source.read(folder, self.name)

  def evaluator(self, settings: Settings) -> WordScores:
    """Raises UserError as `read` does, or if examples are asked for."""
    refuse_completions(self.name, settings)
    return WordScores(self, ask(self.name, self.read(settings.folder), settings))


@dataclasses.dataclass(frozen=True, eq=False)
class WordScores(TaskEvaluator):
  """The evaluator of `LastWord`."""

  task: LastWord

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Also scores `perplexity`: exp of the mean nats of a word. Raises NonFiniteError if a score is not finite."""
    with scoring_progress(model.name, self.task.name, len(self.items), not jax.process_index(), 'words') as show:
      scores = model.score([(item.prompt, item.reference) for item in self.items], show)
    size = np.asarray([len(item.reference.encode()) for item in self.items])
    correct = scores.greedy.astype(np.float64)
    return Results(
      {
        'score': float(correct.mean()),
        'accuracy_greedy': float(correct.mean()),
        'items': len(self.items),
        'chance': 0.0,
        'perplexity': _exp(float(scores.nats.mean())),
        **gold_bits_per_byte(scores.nats, size),
      },
      {'id': [item.id for item in self.items], 'correct': correct, 'gold_nats': scores.nats, 'gold_bytes': size},
    )


@dataclasses.dataclass(frozen=True)
class Passages:
  """A task of whole documents: bits per byte, and perplexity by word as upstream counts words.

  Attributes:
    name: of the task.
    file: plain text (`.txt`, `.tokens`, `.raw`), or rows with a field `text` or `page`, a document each.
    domain: field that names the domain of a row, whose bits per byte are a score of their own; '' for none.
    written: gives a document as people write it, which the model is scored on; words are counted before.
    of_lines: whether rows with a field `text` are lines of one text, as WikiText's are on the hub.
  """

  name: str
  file: Wanted
  domain: str = ''
  written: Callable[[str], str] = str
  of_lines: bool = False
  metric: ClassVar[str] = 'bits_per_byte'

  def read(self, folder: EvaluationFolder) -> Items:
    """A document an item, its text as `reference`. Raises UserError if a file is missing, damaged or of another form."""
    if folder.find(self.file, self.name)[0].name.removesuffix('.gz').removesuffix('.zst').endswith(('.txt', '.tokens', '.raw')):
      texts, data = folder.texts(self.file, self.name)
      documents = [page for _, text in texts for page in pages(text)]
      return Items([self._item(number, page, {}) for number, page in enumerate(documents)], dict(data))
    rows = folder.rows(self.file, self.name)
    if self.of_lines and all('text' in row for _, row in rows.rows):
      text = ''.join(row['text'] or ' \n' for _, row in rows.rows)  # the hub's empty lines have lost their end
      return Items([self._item(number, page, {}) for number, page in enumerate(pages(text))], dict(rows.data))
    items = [self._item(number, text, self._domain(row)) for number, (_, row) in enumerate(rows.rows) if (text := self._text(row))]
    if not items:
      raise UserError(f"task '{self.name}': {', '.join(rows.data)} has no text in a field 'text' or 'page'.")
    return Items(items, dict(rows.data))

  def evaluator(self, settings: Settings) -> PassageScores:
    """Raises UserError as `read` does, or if examples are asked for."""
    refuse_completions(self.name, settings)
    return PassageScores(self, ask(self.name, self.read(settings.folder), settings))

  def _item(self, number: int, text: str, fields: Mapping[str, str]) -> Item:
    words = len(re.split(r'\s+', text))  # with an empty one at either end, as lm-evaluation-harness counts
    return Item(str(number), '', reference=self.written(text), fields={'words': words, **fields})

  def _text(self, row: Row) -> str:
    return next((row[field] for field in ('page', 'text') if isinstance(row.get(field), str)), '')

  def _domain(self, row: Row) -> dict[str, str]:
    return {'domain': str(row[self.domain])} if self.domain and row.get(self.domain) is not None else {}


@dataclasses.dataclass(frozen=True, eq=False)
class PassageScores(TaskEvaluator):
  """The evaluator of `Passages`; it has no `score`, since lower is better and there is no most."""

  task: Passages

  @property
  def identity(self) -> dict[str, Any]:
    domains = {'domains': digest([item.fields.get('domain', '') for item in self.items])} if self.task.domain else {}
    return super().identity | domains

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """Scores `gold_bits_per_byte`, `word_perplexity`, and `bits_per_byte_DOMAIN`. Raises NonFiniteError."""
    ids = model.tokenizer.encode_batch([item.reference for item in self.items])
    documents = [(np.asarray(row, np.int32), np.ones(len(row), bool)) for row in ids]
    with scoring_progress(model.name, self.task.name, len(documents), not jax.process_index()) as show:
      nats = score_documents(model, documents, show)
    if not (finite := np.isfinite(nats)).all():
      document = self.items[int(np.argmin(finite))].id
      raise NonFiniteError(f"stage '{model.name}': its model's loss on document {document} of task '{self.task.name}' is not finite.")
    size = np.asarray([len(item.reference.encode()) for item in self.items])
    words = sum(item.fields['words'] for item in self.items)
    scores = {'items': len(self.items), **gold_bits_per_byte(nats, size), 'word_perplexity': _exp(math.fsum(nats) / words)}
    domains = np.asarray([item.fields.get('domain', '') for item in self.items])
    for domain in sorted(set(domains.tolist()) - {''}):
      scores[f'bits_per_byte_{domain}'] = bits_per_byte(nats[domains == domain], size[domains == domain])
    return Results(scores, {'id': [item.id for item in self.items], 'gold_nats': nats, 'gold_bytes': size})


def pages(text: str) -> list[str]:
  """The articles of WikiText's token files, which begin with ' = Title = '; other text is one document."""
  starts = [found.start() for found in re.finditer(r'^ = [^=].* = ?$', text, re.MULTILINE)]
  if not starts:
    return [text] if text.strip() else []
  return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


_PAIRS = ('()', '[]', '{}', '""', "''")
# WikiText's tokenization, undone in this order: the rules of lm-evaluation-harness, so that word perplexities of whole articles compare.
_REJOINED = (
  *(("s '", "s'"), (r"/' [0-9]/", "/'[0-9]/")),
  *((f' @{re.escape(mark)}@ ', mark) for mark in '-,.'),
  *((rf' {re.escape(mark)} ', f'{mark} ') for mark in ':;.!?,'),
  *((rf'{re.escape(left)}\s*([^{re.escape(right)}]*?)\s*{re.escape(right)}', rf'{left}\1{right}') for left, right in _PAIRS),
  *((' '.join('=' * signs), '=' * signs) for signs in (4, 3, 2)),
  *((' ° ', '°'), (' \n', '\n'), ('\n ', '\n'), (' N ', ' 1 '), (" 's", "'s")),
)


def rejoined(text: str) -> str:
  """A text of WikiText as people write it: no spaces before punctuation and inside brackets, 'well @-@ known' in one word."""
  for pattern, instead in _REJOINED:
    text = re.sub(pattern, instead, text)
  return text


def _exp(nats: float) -> float:
  """exp, or the largest float where that is more."""
  return math.exp(min(nats, 700.0))


def lambada(row: Row) -> Item:
  if 'continuation' in row:
    context, word = row['context'], row['continuation']
  else:
    context, _, word = row['text'].rstrip().rpartition(' ')
  if not context.strip() or not word.strip():
    raise ValueError('the passage has no last word after others')
  return Item('', context.rstrip(), reference=f' {word.strip()}')


TASKS = (
  LastWord('lambada', ItemSource(Wanted(('lambada/lambada_openai.jsonl', 'lambada/lambada_test.jsonl', 'lambada/test*.parquet'), 'EleutherAI/lambada_openai on the Hugging Face hub'), lambada, published=5153)),
  Passages('wikitext', Wanted(('wikitext/wiki.test.raw', 'wikitext/wiki.test.tokens', 'wikitext/wikitext-2-raw/wiki.test.raw', 'wikitext/wikitext-103-raw/wiki.test.raw', 'wikitext/wikitext-2/wiki.test.tokens', 'wikitext/wikitext-103/wiki.test.tokens', 'wikitext/test.jsonl', 'wikitext/test*.parquet'), 'Salesforce/wikitext on the Hugging Face hub'), written=rejoined, of_lines=True),
)  # fmt: skip
