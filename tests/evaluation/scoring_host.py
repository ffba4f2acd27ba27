"""One of several processes that score pairs together.

    python -m tests.evaluation.scoring_host OUTPUT COORDINATOR COUNT INDEX MESH

MESH is in JSON, such as {"data": 2, "sequence": 2}. Each leaves what it was given in `scores-INDEX.npz` in OUTPUT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np

from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.evaluation.model import Model, Scores
from codemix.models import decoder
from codemix.parallel import processes
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import RULES, ShardingRules, batch_shards, parameter_shardings
from tests.tiny_study import MODEL

LENGTH = 48
RULES_OF_HOSTS = ShardingRules(vocab=None)  # 259 rows do not divide
CONTEXTS = ('def f(x):', 'the rain and the stone', '', 'a long story of rain and stone and rain and stone and')
PAIRS = [(context, f' {"word " * n}end') for n in range(5) for context in CONTEXTS]


def scored(mesh_config: MeshConfig, devices=None) -> Scores:
  mesh = make_mesh(mesh_config, devices)
  rules = RULES_OF_HOSTS if mesh.size > 1 else RULES
  places = parameter_shardings(mesh, decoder.abstract_params(MODEL), decoder.logical_axes(MODEL), rules)
  params = jax.jit(lambda: decoder.init_params(MODEL, 0), out_shardings=places)()
  model = Model('any', 0, '', MODEL, load_tokenizer('bytes'), LENGTH, batch_shards(mesh), mesh, rules, lambda: params)
  return model.score(PAIRS)


def main(output: str, coordinator: str, count: str, index: str, mesh: str) -> None:
  processes.initialize(coordinator, int(count), int(index), timeout_s=120)
  np.savez(Path(output) / f'scores-{index}.npz', **scored(MeshConfig(**json.loads(mesh)))._asdict())
  processes.leave(0)


if __name__ == '__main__':
  main(*sys.argv[1:])
