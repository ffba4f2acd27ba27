"""What `codemix contamination` searches for, and the bounds of its shares."""

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
  """The evaluation sets to search for, and the bounds.

  An item's share is the largest share of found windows of any of its passages.
  The bounds are from H. Touvron et al., "Llama 2" (2023), appendix A.6; A.
  Chowdhery et al., "PaLM" (2022), uses one bound of 0.7 on 8-grams.

  Attributes:
    sets: the evaluation sets, in addition to those of the command line.
    contaminated: an item with at least this share is contaminated.
    clean: an item with a smaller share is clean.
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
