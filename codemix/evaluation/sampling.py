"""A few continuations from each stage's model, for a person to read."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from codemix.evaluation.model import Model
from codemix.evaluation.results import SAMPLES, Results, StoredResults
from codemix.models.decoding import Decoding

METHODS = {
  'greedy': {'temperature': 0.0},
  'temperature 0.8, top-p 0.95': {'temperature': 0.8, 'top_p': 0.95},
}


@dataclasses.dataclass(frozen=True)
class Sampling:
  """The evaluator that continues each prompt by each of `METHODS`.

  Attributes:
    prompts: texts.
    tokens: length of a continuation.
    seed: of the random ones.
  """

  prompts: tuple[str, ...]
  tokens: int
  seed: int
  name: ClassVar[str] = SAMPLES
  version: ClassVar[int] = 1

  @property
  def identity(self) -> dict[str, Any]:
    return {'prompts': list(self.prompts), 'tokens': self.tokens, 'seed': self.seed}

  def run(self, model: Model, earlier: StoredResults | None = None) -> Results:
    """{'prompt', 'method', 'text' (the continuation alone)} for each prompt and method."""
    samples = []
    for method, options in METHODS.items() if self.prompts else ():
      decoding = Decoding(max_new_tokens=self.tokens, seed=self.seed, **options)
      completions = model.complete(self.prompts, None, decoding)
      for prompt, (completion,) in zip(self.prompts, completions, strict=True):
        samples.append({'prompt': prompt, 'method': method, 'text': completion.text})
    return Results(samples=samples)
