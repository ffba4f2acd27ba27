"""Which of the paper's two sizes each model of a study stands for."""

from __future__ import annotations

import math

from codemix.published.models import SIZES, Size
from codemix.report.content import Content, Model

# From this ratio of parameters on, the largest and smallest model of a study are taken for the paper's two, whose ratio is 6.
TWO_SIZES = 2.0


def paper_size(content: Content, model: Model) -> Size:
  """The paper's size that a model stands for: among models of several sizes by which end it is nearer to, else by which of the paper's.

  Near is meant in ratios. A model whose size is not known is taken for a small one.
  """
  sizes = {id(each): content.study.recipes[each.arms[0].recipes[0]].model.get('parameters') for each in content.models}
  known = [size for size in sizes.values() if size]
  low, high = (min(known), max(known)) if known and max(known) >= TWO_SIZES * min(known) else SIZES.values()
  return '2.8B' if (sizes[id(model)] or 0) > math.sqrt(low * high) else '470M'
