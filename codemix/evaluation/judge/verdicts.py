"""Verdicts on pairs of answers, each asked in both orders, and kept in a file."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from codemix.errors import UserError
from codemix.evaluation.judge.endpoint import BudgetSpent, Unanswered
from codemix.evaluation.judge.prompt import question, verdict
from codemix.identity import digest
from codemix.storage.lines import Lines, open_lines, read_lines

UNPARSED, UNASKED = 'unparsed', 'not asked'


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two answers to one instruction."""

  id: str
  instruction: str
  first: str
  second: str


@dataclasses.dataclass(frozen=True)
class Verdict:
  """The judge's verdicts on a pair: of the first answer shown as A, and of it shown as B.

  Attributes:
    orders: for each order 'first', 'second', 'tie', UNPARSED (the answer names no preference, or there was
      none) or UNASKED (the budget was spent).
  """

  orders: tuple[str, str]

  @property
  def score(self) -> float | None:
    """1 if the first answer wins, 0 if the second, 0.5 if neither does; None unless both orders are parsed.

    An order alone would count the judge's liking for a position.
    """
    points = {'first': 1.0, 'second': 0.0, 'tie': 0.5}
    known = [points[order] for order in self.orders if order in points]
    return sum(known) / 2 if len(known) == 2 else None


class Cache:
  """Answers of judges in a file of JSON lines, appended one at a time; a broken last line is dropped."""

  def __init__(self, path: Path):
    self._path, self._lock = path, threading.Lock()
    self._answers: dict[str, str] = {}
    content = (read_lines(path) or b'').decode(errors='surrogateescape')
    for number, line in enumerate(content.split('\n')[:-1], 1):
      try:
        line.encode()  # else it is not UTF-8
        record = json.loads(line)
        self._answers[record['key']] = str(record['answer'])
      except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f'{path}:{number} is damaged; delete that line to ask the judge again.') from None
    self._lines: Lines | None = None  # opened with the first new answer

  def get(self, key: str) -> str | None:
    return self._answers.get(key)

  def put(self, key: str, answer: str) -> None:
    with self._lock:
      self._answers[key] = answer
      self._lines = self._lines or open_lines(self._path)
      self._lines.append([json.dumps({'key': key, 'answer': answer})])

  def flush(self) -> None:
    """Makes all answers durable."""
    with self._lock:
      if self._lines:
        self._lines.flush()


@dataclasses.dataclass(frozen=True)
class Judged:
  """Verdicts in the order of the pairs, and where they came from.

  Attributes:
    asked: questions that the judge was asked now.
    cached: those that it had answered before.
    failures: what the endpoint said last, of each question without an answer.
  """

  verdicts: Sequence[Verdict]
  asked: int
  cached: int
  failures: Sequence[str]


def judge_pairs(
  pairs: Sequence[Pair],
  ask: Callable[[str], str],
  identity: dict,
  cache: Cache,
  jobs: int = 1,
  show: Callable[[int], None] = lambda done: None,
) -> Judged:
  """Asks for a verdict on each pair, in both orders.

  An answer is kept in the cache under the digest of the judge's identity, the instruction and both answers,
  so that it is never paid for twice. Where the judge does not answer, nothing is kept. Equal answers are a tie, and
  the judge is not asked.

  Args:
    ask: a prompt to the judge's answer; raises BudgetSpent or Unanswered.
    identity: of the judge (`Judge.identity`).
    jobs: questions at the same time.
    show: called with the number of pairs judged so far.
  """
  counts, failures, done, lock = {'asked': 0, 'cached': 0}, [], [0], threading.Lock()

  def of_order(instruction: str, first: str, second: str) -> str | None:
    key = digest({'judge': identity, 'instruction': instruction, 'answers': [first, second]})
    if (answer := cache.get(key)) is None:
      try:
        answer = ask(question(instruction, first, second))
      except BudgetSpent:
        return UNASKED
      except Unanswered as error:
        with lock:
          failures.append(str(error))
        return None
      cache.put(key, answer)
      with lock:
        counts['asked'] += 1
    else:
      with lock:
        counts['cached'] += 1
    return verdict(answer)

  def judge(pair: Pair) -> Verdict:
    if pair.first == pair.second:
      orders = ('tie', 'tie')
    else:
      shown_first = of_order(pair.instruction, pair.first, pair.second)
      shown_second = of_order(pair.instruction, pair.second, pair.first)
      names = {None: UNPARSED, 'tie': 'tie', UNASKED: UNASKED}
      orders = (
        {**names, 'A': 'first', 'B': 'second'}[shown_first],
        {**names, 'A': 'second', 'B': 'first'}[shown_second],
      )
    with lock:
      done[0] += 1
      show(done[0])
    return Verdict(orders)

  with concurrent.futures.ThreadPoolExecutor(jobs) as threads:
    futures = [threads.submit(judge, pair) for pair in pairs]
    try:
      verdicts = [future.result() for future in futures]
    except BaseException:
      threads.shutdown(cancel_futures=True)
      raise
  cache.flush()
  return Judged(verdicts, **counts, failures=failures)
