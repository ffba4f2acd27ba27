"""Asks a judge behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from codemix.errors import UserError
from codemix.evaluation.judge.judge import Judge

_LONGEST_WAIT_S = 60.0


class BudgetSpent(Exception):
  """`Judge.budget` requests have been sent."""


class Unanswered(Exception):
  """The judge gave no usable answer, also after the retries; what it said last."""


class Endpoint:
  """The judge's endpoint; `ask` may be called in several threads."""

  def __init__(self, judge: Judge):
    """Raises UserError if the client is not installed or the key is not set."""
    try:
      import openai
    except ImportError:
      raise UserError("a judge behind an endpoint needs the openai client: pip install 'codemix[judge]'.") from None
    if not (key := os.environ.get(judge.key_variable)):
      raise UserError(
        f'the judge needs a key in the environment variable {judge.key_variable}; for a server that asks for none, set it to any word.'
      )
    self._openai, self._judge, self._key = openai, judge, key
    self._client = openai.OpenAI(api_key=key, base_url=judge.url, max_retries=0, timeout=judge.timeout_s)
    self._lock = threading.Lock()
    self.sent, self._reached = 0, False  # whether the server has answered anything
    self.models: set[str] = set()  # that the endpoint says have answered

  def ask(self, prompt: str) -> str:
    """The judge's answer.

    Raises:
      BudgetSpent: no request is left.
      Unanswered: no usable answer, after the retries.
      UserError: the endpoint refuses the request (a wrong key, an unknown model), or has not answered anything yet.
    """
    for attempt in range(self._judge.retries + 1):
      self._take_one()
      try:
        return self._answer(prompt)
      except self._openai.APIError as error:
        if not isinstance(error, self._openai.APIConnectionError):
          self._reached = True
        if getattr(error, 'status_code', 500) < 500 and error.status_code not in (408, 409, 429):
          raise UserError(f"the judge's endpoint refused the request: {self._without_key(error)}") from None
        said, waited = self._without_key(error), _retry_after(error)
      except (ValueError, AttributeError, IndexError, TypeError) as error:  # an answer that is not the API's
        said, waited = f'an answer that is not a chat completion ({type(error).__name__})', None
      if attempt < self._judge.retries:
        time.sleep(min(waited or self._judge.wait_s * 2**attempt, _LONGEST_WAIT_S))
    if not self._reached:
      raise UserError(f'{self._client.base_url} does not answer ({said}): check the URL of the judge (--judge_url, Judge.url), and that its server runs.')
    raise Unanswered(said)

  def _answer(self, prompt: str) -> str:
    settings: dict[str, Any] = {'temperature': self._judge.temperature, 'max_tokens': self._judge.max_tokens}
    answer = self._client.chat.completions.create(
      model=self._judge.model, messages=[{'role': 'user', 'content': prompt}], **settings
    )
    self._reached = True
    text = answer.choices[0].message.content
    if not isinstance(text, str):
      raise ValueError('no text')
    with self._lock:
      self.models.add(str(answer.model))
    return text

  def _take_one(self) -> None:
    with self._lock:
      if self._judge.budget is not None and self.sent >= self._judge.budget:
        raise BudgetSpent
      self.sent += 1

  def _without_key(self, error: Exception) -> str:
    """What the endpoint said, in one line; some endpoints repeat the key."""
    return ' '.join(str(error).replace(self._key, '***').split())[:300]


def _retry_after(error: Exception) -> float | None:
  """Seconds that the endpoint asks to wait, if it does."""
  response = getattr(error, 'response', None)
  try:
    seconds = float(response.headers['retry-after']) if response is not None else None
    return seconds if seconds is not None and seconds > 0 else None  # neither negative nor NaN, which time.sleep refuses
  except (KeyError, ValueError):
    return None
