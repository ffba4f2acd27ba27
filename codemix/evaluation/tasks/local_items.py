"""Questions made of the held-out documents of the local corpora, so that a first study needs no download.

The documents are those of the validation splits of `local_text` and `local_code`, from which no model trains. A few
of them repeat words of other documents; a continuation that the training split has is not used.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.data.local_corpora import LocalCorpora
from codemix.data.local_corpora.split import content_hash
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.task import Items
from codemix.identity import digest

CHOICES = 4
SEED = 0  # draws the distractors and where the right choice stands
CONTINUATION = 120  # characters of a passage's continuation, at least
PASSAGE = 400  # characters of a passage before it, at least
BODY = (40, 400)  # characters of a function's body
PER_DOCUMENT = 3  # questions of a document at most
NEIGHBOURS = 12  # distractors are drawn from this many candidates of the most similar length

Pair = tuple[str, str, str]  # id of the document, prompt, right continuation


@dataclasses.dataclass(frozen=True)
class LocalSource:
  """Where a task of choices gets its items: the held-out split of one local corpus.

  Attributes:
    corpus: 'local_text' or 'local_code'.
    pairs: the prompts and right continuations of a document, from its id and text.
    open: returns the local corpora; it builds them if they are absent.
    most: questions at most: those whose ids have the lowest digests.
  """

  corpus: str
  pairs: Callable[[str, str], Iterator[Pair]]
  open: Callable[[], LocalCorpora]
  most: int = 100
  published: ClassVar[None] = None

  def read(self, folder: EvaluationFolder, task: str) -> Items:
    """The items, in the order of the documents; `folder` is not read. Raises UserError if the corpora are damaged."""
    del folder, task
    splits = self.open().corpora[self.corpus]
    split = splits['validation']
    pairs = [pair for id, text in _documents(split.path) for pair in itertools.islice(self.pairs(id, text), PER_DOCUMENT)]
    taken = set(sorted(pairs, key=lambda pair: content_hash(pair[0]))[: self.most])
    unseen = without_repeats([pair for pair in pairs if pair in taken], (text for _, text in _documents(splits['train'].path)))
    return Items(with_distractors(unseen), {f'{self.corpus}/{split.path.name}': split.sha256})


def _documents(path: Path) -> Iterator[tuple[str, str]]:
  """(id, text) of each document of a split."""
  with path.open(encoding='utf-8') as lines:
    for record in map(json.loads, lines):
      yield record['id'], record['text']


def without_repeats(pairs: Sequence[Pair], trained_on: Iterable[str]) -> list[Pair]:
  """The pairs whose continuation is in none of the texts, however white space is laid out."""
  read = '\n'.join(map(_words, trained_on)).encode()  # bytes are searched faster than text that is not ASCII
  return [pair for pair in pairs if _words(pair[2]).encode() not in read]


def _words(text: str) -> str:
  return ' '.join(text.split())


def passage_pairs(document: str, text: str) -> Iterator[Pair]:
  """Passages of prose, each with the words that follow it; they do not overlap."""
  begin = 0
  while len(text) >= begin + PASSAGE + CONTINUATION:
    cut = text.find(' ', begin + PASSAGE)
    end = text.find(' ', cut + CONTINUATION) if cut >= 0 else -1
    if end < 0:
      return
    yield f'{document}@{begin}', text[begin:cut], text[cut:end]
    begin = end + 1


def body_pairs(document: str, text: str) -> Iterator[Pair]:
  """Functions of a program: the lines up to the end of the signature, and the body as it is written."""
  lines = text.split('\n')
  for node in ast.walk(ast.parse(text)):
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
      continue
    first = node.body[0].lineno - 1
    begin = min(part.lineno for part in (node, *node.decorator_list)) - 1
    signature, body = '\n'.join(lines[begin:first]), '\n' + '\n'.join(lines[first : node.end_lineno])
    if first > node.lineno - 1 and signature.rstrip().endswith(':') and BODY[0] <= len(body) <= BODY[1]:
      indent = len(lines[begin]) - len(lines[begin].lstrip())
      yield f'{document}:{node.lineno}', dedented(signature, indent), dedented(body, indent)


def dedented(text: str, indent: int) -> str:
  """Each line without its first `indent` spaces; a line that begins with less is kept."""
  return '\n'.join(line[indent:] if line[:indent].isspace() else line for line in text.split('\n'))


def with_distractors(pairs: Sequence[Pair]) -> list[Item]:
  """A question of each pair: its continuation among three of other documents, of like length.

  Distractors and places depend on `SEED` and the pair's id only, among the same pairs. A continuation with the same
  words as another is left out, and so is a distractor that follows the same prompt elsewhere: one choice is right.
  """
  distinct = {content_hash(right): (id, prompt, right) for id, prompt, right in reversed(pairs)}
  kept = [pair for pair in pairs if distinct[content_hash(pair[2])] == pair]
  items = []
  for id, prompt, right in kept:
    others = [other for other in kept if _document(other[0]) != _document(id) and other[1] != prompt]
    nearest = sorted(others, key=lambda other: (abs(len(other[2]) - len(right)), other[0]))[:NEIGHBOURS]
    if len(nearest) < CHOICES - 1:
      continue
    rng = np.random.default_rng([SEED, int(content_hash(id)[:16], 16)])
    choices = [nearest[i][2] for i in rng.choice(len(nearest), CHOICES - 1, replace=False)]
    gold = int(rng.integers(CHOICES))
    choices.insert(gold, right)
    items.append(Item(id, prompt, tuple(choices), (gold,)))
  return items


def _document(id: str) -> str:
  """The document of a pair's id."""
  return id.rpartition('@')[0] or id.rpartition(':')[0]


@dataclasses.dataclass(frozen=True)
class LocalPrograms:
  """Where `local_programs` gets its items: they are written here, so there is no file."""

  def read(self, folder: EvaluationFolder, task: str, language: str) -> Items:
    del folder, task, language
    items = program_items()
    return Items(items, {'program_items': digest([[item.id, item.prompt, item.reference, dict(item.fields)] for item in items])})


_NUMBERS = {2: 'two', 3: 'three', 4: 'four', 5: 'five', 6: 'six', 7: 'seven', 8: 'eight', 9: 'nine'}
_OPERATIONS = {'add': '+', 'subtract': '-', 'multiply_by': '*'}


def program_items() -> list[Item]:
  """Functions of one operation with a number, of which two are written out before the one that is asked for.

  The fields of an item are those that `tested` programs have: 'before', 'tests' and 'names'.
  """
  items = []
  for (operation, sign), asked in itertools.product(_OPERATIONS.items(), _NUMBERS):
    examples = [(asked - 2 + shift) % len(_NUMBERS) + 2 for shift in (3, 4)]
    define = lambda number, name=operation: f'def {name}_{_NUMBERS[number]}(number):\n    return number'
    before = ''.join(f'{define(number)} {sign} {number}\n\n\n' for number in examples) + define(asked)
    name = f'{operation}_{_NUMBERS[asked]}'
    results = [(given, {'+': given + asked, '-': given - asked, '*': given * asked}[sign]) for given in (0, 1, 7, -12)]
    tests = ''.join(f'assert {name}({given}) == {result}\n' for given, result in results)
    fields = {'before': before, 'tests': tests, 'names': [name]}
    items.append(Item(name, before, reference=f' {sign} {asked}\n', fields=fields))
  return items
