"""A few continuations from each stage's model, for a person to read."""

from __future__ import annotations

from collections.abc import Sequence

from jax.sharding import Mesh

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params
from codemix.models.generate import generate

METHODS = {
  'greedy': {'temperature': 0.0},
  'temperature 0.8, top-p 0.95': {'temperature': 0.8, 'top_p': 0.95},
}


def sample(
  model: ModelConfig,
  params: Params,
  tokenizer: Tokenizer,
  prompts: Sequence[str],
  *,
  tokens: int,
  seed: int,
  mesh: Mesh,
) -> list[dict[str, str]]:
  """Continues each prompt by each of `METHODS`.

  Args:
    tokens: length of a continuation.
    seed: of the random ones.
    mesh: that the parameters lie on.

  Returns:
    {'prompt', 'method', 'text'} each; the text is the continuation alone.
  """
  ids = [tokenizer.encode(prompt) for prompt in prompts]
  samples = []
  for method, options in METHODS.items():
    continued = generate(
      model,
      params,
      ids,
      max_new_tokens=tokens,
      bos_id=tokenizer.bos_id,
      eos_id=tokenizer.eos_id,
      seed=seed,
      mesh=mesh,
      **options,
    )
    samples += [
      {'prompt': prompt, 'method': method, 'text': tokenizer.decode(text)}
      for prompt, text in zip(prompts, continued, strict=True)
    ]
  return samples
