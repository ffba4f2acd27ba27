"""Studies run inside the test's process: on one of its devices, and with what the train step is fed."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.training import loop

Batch = dict[str, np.ndarray]


def one_device_mesh() -> Mesh:
  return make_mesh(MeshConfig(data=1), jax.devices()[:1])


def use_one_device(patch: pytest.MonkeyPatch) -> None:
  """Lets studies run on one device, where the tests have eight."""
  patch.setattr('codemix.studies.runner.make_mesh', lambda config: one_device_mesh())


def record_batches(patch: pytest.MonkeyPatch) -> list[list[Batch]]:
  """What the train step is called with: a list that fills with the global batches of each stage."""
  stages: list[list[Batch]] = []
  make_train_step = loop.make_train_step

  def make_recording_step(*arguments):
    train_step = make_train_step(*arguments)
    batches: list[Batch] = []
    stages.append(batches)

    def step(state, batch, rate):
      batches.append({key: np.asarray(value) for key, value in batch.items()})
      return train_step(state, batch, rate)

    return step

  patch.setattr(loop, 'make_train_step', make_recording_step)
  return stages
