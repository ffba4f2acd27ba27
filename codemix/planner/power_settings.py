"""What a study should be able to show: the configurable `Power`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

from codemix.checked import Above, Below, From, Name, UpTo, checked
from codemix.inference.components import MOST, Components
from codemix.inference.power import MOST_COMPARISONS, POWER


@dataclasses.dataclass(frozen=True)
@checked
class Power:
  """The effect that a study should resolve, and the noise of its scores; for `codemix plan --power`.

  Attributes:
    components: of each task's scores, in points, by the task's name; of a source of `Study.validation`, in bits per byte.
    effect: the least difference of two arms that should be found, in points.
    effect_bits: the same of sources, in bits per byte.
    power: the chance of finding it.
    items: 'random' for claims about items like those of the task; 'fixed' for claims about these items alone, which need fewer
      seeds and say less.
    comparisons: to correct for; None for as many as the report's table of changes will make.
  """

  components: Mapping[Name, Components] = dataclasses.field(default_factory=dict)
  effect: Annotated[float, Above(0), UpTo(MOST), 'points'] = 1.0
  effect_bits: Annotated[float, Above(0), UpTo(MOST), 'bits per byte'] = 0.01
  power: Annotated[float, From(0.5), Below(1)] = POWER
  items: Literal['random', 'fixed'] = 'random'
  comparisons: Annotated[int, From(1), UpTo(MOST_COMPARISONS), 'comparisons'] | None = None
