"""Everything that a gin file may bind, in one table.

The classes themselves know nothing of gin: a library user builds the same
objects by hand.
"""

from __future__ import annotations

import gin
from codemix.data.settings import Data
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig
from codemix.studies.recipe import Recipe, Study
from codemix.training.optimizer import Optimizer
from codemix.training.runtime import Runtime
from codemix.training.schedules import Constant, LinearTo, WarmupCosine, WarmupStableDecay
from codemix.training.stage import Handoff, Stage

for _configurable in (
  Constant,
  Data,
  Handoff,
  LinearTo,
  MeshConfig,
  ModelConfig,
  Optimizer,
  Recipe,
  Runtime,
  Stage,
  Study,
  WarmupCosine,
  WarmupStableDecay,
):
  gin.external_configurable(_configurable, module='codemix')
