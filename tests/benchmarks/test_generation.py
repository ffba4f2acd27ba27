"""`codemix bench generation` measures both programs on the same model."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from codemix.benchmarks import generation, generation_peer, released_sets
from codemix.benchmarks.peer_process import PeerProcess
from codemix.errors import UserError
from codemix.models.decoding import Decoding
from codemix.models.generate import generate
from tests.in_process import one_device_mesh
from tests.models.random_inputs import random_params

SMALL = dataclasses.replace(generation.MODELS['tiny'], vocab_size=96, layers=2, width=32, ffn_width=48, heads=2, head_dim=16)


def test_every_figure_is_measured(tmp_path, monkeypatch):
  monkeypatch.setattr(generation, 'MODELS', {'tiny': SMALL})
  monkeypatch.setattr(generation, 'PEER', tmp_path / 'absent')
  monkeypatch.setattr(generation, 'LENGTHS', (2, 4))
  monkeypatch.setattr(generation, 'one_device_mesh', one_device_mesh)
  monkeypatch.setattr(released_sets, 'SHARED', tmp_path / 'absent')
  monkeypatch.delenv('CODEMIX_EVAL_DIR', raising=False)
  size = generation.Size(prompts=3, new_tokens=2, repeats=1, linear_prompts=2)
  figures = list(generation.measure(tmp_path, size))
  assert [figure.unit for figure in figures] == ['tokens/s', 'us', 'us']
  assert all(figure.value > 0 for figure in figures)


def test_the_fastest_batching_of_the_peer_is_the_one_repeated():
  ours, theirs, asked = iter([3.0, 2.0, 4.0]), {1: iter([9.0]), 16: iter([5.0, 6.0, 4.5]), 82: iter([7.0])}, []

  def of_peer(batch):
    asked.append(batch)
    return next(theirs[batch])

  assert generation.in_turns(lambda: next(ours), of_peer, 3) == (2.0, {1: 9.0, 16: 4.5, 82: 7.0})
  assert asked == [1, 16, 82, 16, 16]
  assert generation.in_turns(lambda: 1.0, None, 2) == (1.0, {})


def test_the_error_of_the_peer_is_shown(tmp_path):
  peer = PeerProcess([sys.executable, '-c', 'raise ValueError("no memory")'], tmp_path)
  with pytest.raises(UserError, match='no memory'):
    peer.seconds('1')


def test_the_prompts_are_those_of_human_eval(shared_data, tmp_path):
  prompts = generation.human_eval_prompts(tmp_path, 200, 8192)
  assert len(prompts) == 164 and all(0 <= token < 8192 for prompt in prompts for token in prompt)
  assert 60 < np.median([len(prompt) for prompt in prompts]) < 200
  assert len({prompt[0] for prompt in prompts}) == 1


@pytest.mark.slow  # torch is loaded
def test_transformers_generates_the_same_tokens(tmp_path):
  if not generation.PEER.exists():
    pytest.skip(f'{generation.PEER} is absent: launch/peers.sh makes it')
  params = jax.tree.map(np.asarray, random_params(SMALL))
  prompts = sorted(generation.random_prompts(6, SMALL.vocab_size), key=len)
  (tmp_path / 'peer').mkdir()
  generation.Peer(tmp_path / 'peer', SMALL, params, prompts, 24).stop()
  printed = subprocess.run(
    [generation.PEER, generation_peer.__file__, tmp_path / 'peer', '--tokens'], capture_output=True, text=True, check=True
  ).stdout
  decoding = Decoding(max_new_tokens=24)
  ours = generate(SMALL, params, prompts, range(6), decoding, eos_id=None)
  # The benchmark lets transformers go on past EOS, which it does by never choosing it.
  for (completion,), theirs in zip(ours, json.loads(printed), strict=True):
    if 2 not in completion.ids:
      assert completion.ids == theirs
  assert len({tuple(completion.ids) for (completion,) in ours}) > 3
