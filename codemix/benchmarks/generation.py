"""Generation beside transformers' `generate`, and the time of a token as completions become longer.

Greedy, for random parameters in float32, from the prompts of HumanEval that CODEMIX_EVAL_DIR (or the shared folder beside
the project) has, tokenized by BPE trained on them, else from random prompts as long. transformers runs in the Python that
`launch/peers.sh` installs, in turns with codemix, on the same weights and prompts: all prompts of a batch padded on the
left, at several sizes of batch, and one by one; the fastest of them counts, and only that one is repeated.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from codemix.benchmarks import generation_peer
from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import one_device_mesh, seconds
from codemix.benchmarks.peer_process import PEERS, PeerProcess
from codemix.benchmarks.released_sets import released_rows
from codemix.data.tokenization.bpe import train_bpe
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.models.decoding import Decoding
from codemix.models.generate import generate

MODELS = {
  'tiny': ModelConfig(8192, layers=3, width=96, ffn_width=256, heads=3, head_dim=32, dtype='float32'),
  '30m': ModelConfig(32768, layers=10, width=384, ffn_width=1024, heads=6, head_dim=64, dtype='float32'),
}
LENGTHS = (64, 256, 1024)  # new tokens
BOS = 1
PEER = PEERS
HUMAN_EVAL = 'humaneval/HumanEval.jsonl.gz'
ENTRIES = 1024  # of the tokenizer, at most; the texts give 2,300
BATCHES = (1, 16, 82)  # prompts, of the peer


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    prompts: of a run of the tiny model; 164 at most if they are HumanEval's.
    new_tokens: of each of those prompts.
    large_prompts, large_new_tokens: the same of larger models.
    repeats: of each run; the fastest counts.
    linear_prompts: of the runs of 64, 256 and 1,024 new tokens; 0: these are left out.
  """

  may_be_zero = ('linear_prompts',)
  prompts: int = 164
  new_tokens: int = 128
  large_prompts: int = 48
  large_new_tokens: int = 64
  repeats: int = 2
  linear_prompts: int = 16


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the tokens/s of codemix, and of the peer if it is installed, for each model; then the times by length."""
  for name, config in MODELS.items():
    (at := folder / name).mkdir()
    params = jax.jit(lambda config=config: decoder.init_params(config, 0))()
    count, new = (size.prompts, size.new_tokens) if name == 'tiny' else (size.large_prompts, size.large_new_tokens)
    prompts = human_eval_prompts(at, count, config.vocab_size) or random_prompts(count, config.vocab_size)
    run = runs(config, params, prompts, new)
    run()  # compiles
    peer = Peer(at, config, params, prompts, new) if PEER.exists() else None
    try:
      ours, theirs = in_turns(lambda run=run: seconds(run), peer and peer.seconds, size.repeats)
    finally:
      if peer:
        peer.stop()
    tokens = len(prompts) * new
    yield Figure(f'{name}: codemix', tokens / ours, 'tokens/s')
    for batch, taken in theirs.items():
      yield Figure(f'{name}: transformers, {batch} at a time', tokens / taken, 'tokens/s')
    if theirs:
      yield Figure(f'{name}: times as fast as the fastest of transformers', min(theirs.values()) / ours, 'x', goal=1)
  if size.linear_prompts:
    yield from by_length(size, MODELS['tiny'])


def in_turns(
  ours: Callable[[], float], theirs: Callable[[int], float] | None, repeats: int
) -> tuple[float, dict[int, float]]:
  """The least seconds of codemix, and of the peer by its prompts at a time.

  In the first turn the peer runs with each of `BATCHES`, in the later ones with the fastest of them.
  """
  least, by_batch = ours(), {}
  for batch in BATCHES if theirs else ():
    by_batch[batch] = theirs(batch)
  for _ in range(repeats - 1):
    least = min(least, ours())
    if theirs:
      fastest = min(by_batch, key=by_batch.get)
      by_batch[fastest] = min(by_batch[fastest], theirs(fastest))
  return least, by_batch


def by_length(size: Size, config: ModelConfig) -> Iterator[Figure]:
  """The time of a token, of prompts of 32 tokens each with more and more new tokens."""
  params = jax.jit(lambda: decoder.init_params(config, 0))()
  prompts = [[BOS, *row] for row in np.random.default_rng(0).integers(3, config.vocab_size, (size.linear_prompts, 31)).tolist()]
  for new in LENGTHS:
    run = runs(config, params, prompts, new)
    run()
    taken = min(seconds(run) for _ in range(size.repeats))
    yield Figure(f'{new} new tokens of {len(prompts)} prompts: a token', 1e6 * taken / new / len(prompts), 'us')


def runs(config: ModelConfig, params: decoder.Params, prompts: list[list[int]], new: int) -> Callable[[], object]:
  """A call that completes all prompts; no completion ends early, as the peer's do not."""
  mesh, decoding = one_device_mesh(), Decoding(max_new_tokens=new)
  return lambda: generate(config, params, prompts, range(len(prompts)), decoding, eos_id=None, mesh=mesh)


def human_eval_prompts(folder: Path, count: int, vocabulary: int) -> list[list[int]] | None:
  """Token ids of the first `count` prompts of HumanEval, BOS first; None if the set is not on this machine."""
  rows = released_rows(HUMAN_EVAL)
  if rows is None:
    return None
  texts = [row['prompt'] for row in rows]
  tokenizer = train_bpe(texts, min(ENTRIES, vocabulary), folder / 'tokenizer.json')
  return [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_batch(texts[:count])]


def random_prompts(count: int, vocabulary: int) -> list[list[int]]:
  """Prompts of random tokens, as long as those of HumanEval in a small vocabulary: 60 to 450, half of them below 150."""
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.lognormal(np.log(150), 0.5, count), 60, 450).astype(int)
  return [[BOS, *rng.integers(3, vocabulary, length - 1).tolist()] for length in lengths]


class Peer:
  """transformers in another process, which keeps the model and times a run when asked."""

  def __init__(self, folder: Path, config: ModelConfig, params: decoder.Params, prompts: list[list[int]], new: int):
    from safetensors.numpy import save_file

    save_file(cohere_weights(params, config), folder / 'model.safetensors')
    (folder / 'run.json').write_text(json.dumps({'config': cohere_config(config), 'prompts': prompts, 'new': new}))
    self._process = PeerProcess([PEER, generation_peer.__file__, folder], folder)
    self.stop = self._process.stop

  def seconds(self, batch: int) -> float:
    """Of one run with that many prompts at a time. Raises UserError: the process has failed."""
    return self._process.seconds(str(batch))


def cohere_config(config: ModelConfig) -> dict[str, object]:
  """The same model as arguments of transformers' `CohereConfig`."""
  return {
    'vocab_size': config.vocab_size, 'num_hidden_layers': config.layers, 'hidden_size': config.width,
    'intermediate_size': config.ffn_width, 'num_attention_heads': config.heads, 'num_key_value_heads': config.key_value_heads,
    'layer_norm_eps': config.norm_epsilon, 'logit_scale': config.logit_scale, 'rope_theta': config.rope_theta,
    'pad_token_id': 0, 'bos_token_id': BOS, 'eos_token_id': 2,
  }  # fmt: skip


def cohere_weights(params: decoder.Params, config: ModelConfig) -> dict[str, np.ndarray]:
  """The parameters under the names of `CohereForCausalLM`, whose matrices are [outputs, inputs]."""
  layers, D = params['layers'], config.width
  weights = {'model.embed_tokens.weight': params['embedding'], 'model.norm.weight': params['norm']['scale']}
  for i in range(config.layers):
    attention, ffn, at = layers['attention'], layers['ffn'], f'model.layers.{i}'
    weights[f'{at}.input_layernorm.weight'] = layers['norm']['scale'][i]
    for theirs, ours in (('q_proj', 'query'), ('k_proj', 'key'), ('v_proj', 'value')):
      weights[f'{at}.self_attn.{theirs}.weight'] = attention[ours][i].reshape(D, -1).T
    weights[f'{at}.self_attn.o_proj.weight'] = attention['out'][i].reshape(-1, D).T
    for theirs, ours in (('gate_proj', 'gate'), ('up_proj', 'up'), ('down_proj', 'down')):
      weights[f'{at}.mlp.{theirs}.weight'] = ffn[ours][i].T
  return {name: np.ascontiguousarray(array) for name, array in weights.items()}
