"""A model that says what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.evaluation.model import Scores
from codemix.models.decoding import Completion


class StubModel:
  """Scores by `nats(context, continuation)`, and completes by `say(prompt, key, sample)`."""

  name, step, checkpoint, length, batch = 'stub', 1, 'digest', 128, 1
  tokenizer = load_tokenizer('bytes')

  def __init__(self, nats: Callable[[str, str], float] = lambda context, text: 1.0, say: Callable[[str, str, int], str] = lambda *_: ''):
    self.nats, self.say, self.asked, self.prompted = nats, say, [], []

  def score(self, pairs: Sequence[tuple[str, str]], show=lambda done: None) -> Scores:
    self.asked += pairs
    nats = np.asarray([self.nats(*pair) for pair in pairs], np.float64)
    return Scores(nats, np.asarray([len(text) for _, text in pairs]), nats < 1)

  def complete(self, prompts, keys, decoding, show=lambda done: None) -> list[list[Completion]]:
    self.prompted += prompts
    return [
      [Completion(self.say(prompt, key, sample), 1, 'stop') for sample in range(decoding.samples)] for prompt, key in zip(prompts, keys, strict=True)
    ]
