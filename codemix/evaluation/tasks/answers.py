"""Measures of free answers: exact match after normalisation, F1 of words, numbers."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from codemix.evaluation.tasks.item import Item

_ARTICLES = re.compile(r'\b(a|an|the)\b')
_PUNCTUATION = frozenset(string.punctuation)
_TRIVIA_PUNCTUATION = frozenset(f'{string.punctuation}‘’´`')
_NUMBER = re.compile(r'(?<![\d.,])-?\$?[\d,]*\.?\d+')  # the dash between two numbers is no sign

NO_ANSWER = 'CANNOTANSWER'


def normalised(text: str) -> str:
  """SQuAD's normalisation (Rajpurkar et al., arXiv:1606.05250), which NaturalQuestions-Open uses.

  Lower case, no punctuation, no articles, single spaces.
  """
  return _normalised(text.lower(), _PUNCTUATION, '')


def trivia_normalised(text: str) -> str:
  """TriviaQA's normalisation (Joshi et al., arXiv:1705.03551): as SQuAD's, but punctuation and '_' become spaces."""
  return _normalised(text.replace('_', ' ').lower(), _TRIVIA_PUNCTUATION, ' ')


def _normalised(text: str, punctuation: frozenset[str], instead: str) -> str:
  plain = ''.join(instead if character in punctuation else character for character in text)
  return ' '.join(_ARTICLES.sub(' ', plain).split())


def exact_match(completion: str, item: Item) -> float:
  """Whether the answer is one of the accepted ones, as SQuAD compares them."""
  return float(normalised(completion) in {normalised(answer) for answer in item.answers})


def trivia_match(completion: str, item: Item) -> float:
  """Whether the answer is one of the accepted ones, as TriviaQA compares them."""
  return float(trivia_normalised(completion) in {trivia_normalised(answer) for answer in item.answers})


def same_text(completion: str, item: Item) -> float:
  """Whether the answer is the accepted one, but for spaces around it."""
  return float(completion.strip() in {answer.strip() for answer in item.answers})


def word_f1(completion: str, answer: str) -> float:
  """F1 of the normalised words, as SQuAD and QuAC compute it."""
  if NO_ANSWER in (completion.strip(), answer.strip()):
    return float(completion.strip() == answer.strip())
  said, right = normalised(completion).split(), normalised(answer).split()
  common = sum((collections.Counter(said) & collections.Counter(right)).values())
  if not common:
    return float(said == right)
  precision, recall = common / len(said), common / len(right)
  return 2 * precision * recall / (precision + recall)


def quac_f1(completion: str, item: Item) -> float:
  """QuAC's F1 (Choi et al., arXiv:1808.07036): the most of any answer; if there are several, the mean over leaving one out.

  If at least half of the answers say that there is none, that is the answer.
  """
  answers: Sequence[str] = item.answers
  none = sum(answer.strip() == NO_ANSWER for answer in answers)
  answers = [NO_ANSWER] if 2 * none >= len(answers) and none else [answer for answer in answers if answer.strip() != NO_ANSWER]
  scores = [word_f1(completion, answer) for answer in answers]
  if len(scores) == 1:
    return scores[0]
  return sum(max(scores[:at] + scores[at + 1 :]) for at in range(len(scores))) / len(scores)


def strict_number(completion: str, item: Item) -> float:
  """GSM8K's own form: the number after '####'."""
  _, marked, after = completion.partition('####')
  return float(bool(marked) and _number(after) == _number(item.answers[0]) is not None)


def last_number(completion: str, item: Item) -> float:
  """The last number of the answer, whatever is around it."""
  found = _NUMBER.findall(completion)
  return float(bool(found) and _number(found[-1]) == _number(item.answers[0]))


def _number(text: str) -> Decimal | None:
  """The first number of a text: '$1,234.50' -> 1234.5."""
  if not (found := _NUMBER.search(text)):
    return None
  try:
    return Decimal(found[0].replace(',', '').replace('$', ''))
  except InvalidOperation:
    return None
