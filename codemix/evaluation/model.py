"""A trained model with all that is needed to run it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params
from codemix.models.decoding import Completion, Decoding
from codemix.parallel.sharding import ShardingRules


class Scores(NamedTuple):
  """Of n continuations.

  Attributes:
    nats: negative log-likelihood of the continuation after its context, float64 [n].
    tokens: of the continuation, int64 [n].
    greedy: whether each of its tokens is the likeliest one, bool [n].
  """

  nats: np.ndarray
  tokens: np.ndarray
  greedy: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """What evaluators, `codemix generate` and everything else that reads a checkpoint start from.

  `codemix.studies.load_stage` makes it from a stage's folder.

  Attributes:
    name: what messages call it: the name of its stage.
    step: of the run, at which its checkpoint was saved.
    checkpoint: digest of that checkpoint.
    config: the decoder.
    tokenizer: of the run.
    length: tokens of the rows that it was trained on, and the longest context that it is scored
      with.
    batch: rows computed at a time; a whole number of the mesh's batch shards.
    mesh, rules: the devices, and how the parameters are sharded over them.
    restore: reads the parameters onto the mesh.
  """

  name: str
  step: int
  checkpoint: str
  config: ModelConfig
  tokenizer: Tokenizer
  length: int
  batch: int
  mesh: Mesh
  rules: ShardingRules
  restore: Callable[[], Params]

  @functools.cached_property
  def params(self) -> Params:
    """The parameters, restored at the first use; all processes must ask for it.

    Raises UserError if the checkpoint is missing, damaged, or not the one with which the stage was
    done.
    """
    return self.restore()

  def score(self, pairs: Sequence[tuple[str, str]], show: Callable[[int], None] = lambda done: None) -> Scores:
    """Scores continuations, as `codemix.evaluation.continuations.score_continuations` does.

    Called in all processes, with the same pairs. Raises NonFiniteError if a score is not finite.

    Args:
      pairs: (context, continuation) texts; neither is changed, so the space between them is part of one.
      show: called with the number of pairs scored so far.
    """
    from codemix.evaluation.continuations import score_continuations, tokenized

    return score_continuations(self, tokenized(self.tokenizer, pairs), show)

  def complete(
    self,
    prompts: Sequence[str],
    keys: Sequence[str] | None,
    decoding: Decoding,
    show: Callable[[int], None] = lambda done: None,
  ) -> list[list[Completion]]:
    """`decoding.samples` completions of each prompt.

    A completion depends on its prompt, its key and `decoding` only. Called in all processes, with the
    same arguments; all processes get all completions.

    A prompt that leaves less than `decoding.max_new_tokens` in `length` is cut from the left, as
    lm-evaluation-harness does; BOS and at least one token of it are kept, so only a completion as long as
    `length` exceeds the context that the model was trained with.

    Args:
      prompts: texts, not changed; '' is completed from BOS alone.
      keys: a name for each prompt, such as its item's id; they seed the random numbers. None: the
        prompts' own tokens.
      show: called with the number of completions done so far.
    """
    from codemix.evaluation.completions import complete

    return complete(self, prompts, keys, decoding, show)
