"""What `codemix contamination` looks for, and what it calls contaminated."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import Above, UpTo, checked
from codemix.contamination.items import EvaluationSet
from codemix.contamination.readings import CodeWindows, WordWindows
from codemix.errors import UserError

Bound = Annotated[float, Above(0), UpTo(1)]


@dataclasses.dataclass(frozen=True)
@checked
class Contamination:
  """The evaluation sets that are looked for, and the bounds.

  An item's share is that of the windows of its best-found passage. The bounds
  on it are those of H. Touvron et al., "Llama 2" (2023), appendix A.6; A.
  Chowdhery et al., "PaLM" (2022), divides at 0.7 of 8-grams.

  Attributes:
    sets: the evaluation sets; those of the command line come to them.
    words, code: how text is compared.
    contaminated: an item of which at least this share was consumed is contaminated.
    clean: one of which less than this share was consumed belongs to the clean subset.
  """

  sets: tuple[EvaluationSet, ...] = ()
  words: WordWindows = WordWindows()
  code: CodeWindows = CodeWindows()
  contaminated: Bound = 0.8
  clean: Bound = 0.2

  def __post_init__(self):
    if self.clean > self.contaminated:
      raise UserError(
        f'Contamination.clean is {self.clean} and Contamination.contaminated {self.contaminated}; they are shares, 0 < clean <= contaminated <= 1.'
      )
    names = [s.name for s in self.sets]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
      raise UserError(f"two evaluation sets are named '{repeated[0]}'; give each a name of its own.")
