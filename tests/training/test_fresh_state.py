"""Fresh parameters are the same numbers however their program is compiled and laid out."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.training import train_state
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement

MODEL = ModelConfig(vocab_size=64, layers=3, width=32, ffn_width=48, heads=4, head_dim=8, dtype='float32')


def compiled(level: int) -> dict:
  """Parameters by a program of LLVM's optimization level, whatever this process compiles at."""
  program = jax.jit(lambda: decoder.init_params(MODEL, 7))
  return program.lower().compile(compiler_options={'xla_backend_optimization_level': level})()


@pytest.mark.parametrize('axes', [pytest.param({'data': 8}, marks=pytest.mark.slow), {'fsdp': 4, 'tensor': 2}])
def test_what_is_compiled_quickly_has_the_numbers_of_what_is_optimized_most(axes):
  state = train_state.init_state(MODEL, Optimizer(), 7, Placement(make_mesh(MeshConfig(**axes))))
  jax.tree.map(np.testing.assert_array_equal, state.params, compiled(level=3))
