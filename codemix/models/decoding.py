"""How the next token is chosen, and when a completion ends."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import Above, From, Seed, UpTo, checked
from codemix.errors import UserError

LONGEST = 2**16  # tokens; memory for that many is reserved for each completion that is computed at a time


@dataclasses.dataclass(frozen=True)
@checked
class Decoding:
  """Settings of generation.

  Attributes:
    max_new_tokens: tokens after which a completion ends without EOS.
    temperature: 0: the likeliest token (of equals, the lowest id); else the logits are divided by it.
    top_k: sample only from this many likeliest tokens; 0: from all.
    top_p: sample only from the fewest tokens that together have this probability (Holtzman et al.,
      arXiv:1904.09751); 1: from all.
    stop: a completion ends before the first of these texts.
    samples: completions of each prompt.
    seed: of the random numbers.
  """

  max_new_tokens: Annotated[int, From(1), UpTo(LONGEST), 'tokens'] = 64
  temperature: Annotated[float, From(0)] = 0.0
  top_k: Annotated[int, From(0)] = 0
  top_p: Annotated[float, Above(0), UpTo(1)] = 1.0
  stop: tuple[str, ...] = ()
  samples: Annotated[int, From(1)] = 1
  seed: Seed = 0

  def __post_init__(self) -> None:
    if '' in self.stop:  # white space is a stop like any other
      raise UserError("Decoding.stop has '', which would end each completion before it begins: take it out.")


@dataclasses.dataclass(frozen=True)
class Completion:
  """One completion of a prompt.

  Attributes:
    text: without the prompt, EOS, and the stop text that ended it.
    tokens: number of tokens generated, those of EOS and of the stop text included.
    ended_by: 'eos', 'stop' or 'length'.
  """

  text: str
  tokens: int
  ended_by: str
