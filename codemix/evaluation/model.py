"""A trained model with all that is needed to run it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from jax.sharding import Mesh

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params
from codemix.models.generate import generate
from codemix.parallel.sharding import ShardingRules


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

  def continue_texts(self, prompts: Sequence[str], **options) -> list[str]:
    """The continuation of each prompt, without the prompt.

    Raises UserError if an option is out of range.

    Args:
      options: of `codemix.models.generate.generate`: `max_new_tokens`, `temperature`, `top_k`,
        `top_p`, `seed`.
    """
    continued = generate(
      self.config,
      self.params,
      [self.tokenizer.encode(prompt) for prompt in prompts],
      bos_id=self.tokenizer.bos_id,
      eos_id=self.tokenizer.eos_id,
      mesh=self.mesh,
      **options,
    )
    return [self.tokenizer.decode(ids) for ids in continued]
