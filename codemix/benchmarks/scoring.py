"""Scoring continuations: tokens/s of `Model.score`, beside lm-evaluation-harness's `hf` on the same weights.

The requests are the 4,000 continuations of the 1,000 items of HellaSwag that CODEMIX_EVAL_DIR (or the shared folder
beside the project) has, else texts of such lengths. Tokens are those of context and continuation of every request, also
where a context is computed once for several, so both count the same. Tokenizing the texts counts; compilation is given
beside. The `hf` runs in the peers' environment (`launch/peers.sh`), if that is there, on as many threads as PyTorch
takes. Both score the same part of the requests in turns, so that other load on the machine slows both. Both compute in
float32 on CPUs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from codemix.benchmarks import lm_eval_peer
from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import one_device_mesh, usual_dtype
from codemix.benchmarks.peer_process import PEERS, PeerProcess
from codemix.benchmarks.released_sets import released_rows
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.evaluation.continuations import tokenized
from codemix.evaluation.model import Model
from codemix.huggingface.classes import class_of
from codemix.huggingface.export import Export, write_model
from codemix.huggingface.model_config import CONFIG, write_config
from codemix.huggingface.tokenizer_export import tokenizer_files
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import RULES
from codemix.storage import write_json

# gin/models/tiny.gin
MODEL = ModelConfig(vocab_size=8192, layers=3, width=96, ffn_width=256, heads=3, head_dim=32, dtype='float32')
HELLASWAG = 'hellaswag/hellaswag_val_subset1000.jsonl.gz'
PEER = PEERS
ENTRIES = 4096  # of the tokenizer, which is trained on the texts; fewer if the model has fewer
GOAL, GOAL_LARGER = 5.0, 1.5  # times `hf`, of MODEL and of larger models
ITEMS, CHOICES = 1000, 4


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    items: each with four continuations; 1,000 at most.
    length: of the model, in tokens.
    batch: rows of that length computed at a time.
    peer_batch: requests that the `hf` computes at a time.
    turns: parts of the requests, each scored once by codemix and by the `hf`.
  """

  items: int = 1000
  length: int = 512
  batch: int = 4
  peer_batch: int = 16
  turns: int = 4


def measure(folder: Path, size: Size, model: ModelConfig = MODEL) -> Iterator[Figure]:
  """Yields the figures of codemix, and of the `hf` if its environment is there."""
  config = dataclasses.replace(model, dtype=str(usual_dtype()))
  every = request_pairs()
  pairs = every[: CHOICES * size.items]
  tokenizer = train_bpe(sorted({text for pair in every for text in pair}), min(ENTRIES, config.vocab_size), folder / 'tokenizer.json')
  tokens = sum(len(context) + len(ids) for context, ids in tokenized(tokenizer, pairs))
  params = jax.jit(lambda: decoder.init_params(config, 0))()
  yield Figure('requests', len(pairs), 'continuations')
  yield Figure('tokens of a request', tokens / len(pairs), 'tokens')

  mesh = one_device_mesh()
  made = Model('bench', 0, '', config, tokenizer, size.length, size.batch, mesh, RULES, lambda: params)
  of_turns = [pairs[start:stop] for start, stop in parts(len(pairs), size.turns)]
  firsts = [_timed(made, part) for part in of_turns]  # each part may have shapes of its own to compile
  first = sum(seconds for seconds, _ in firsts)
  ours_nats = np.concatenate([scores.nats for _, scores in firsts])
  peer = _Peer(folder, config, params, tokenizer, pairs, size) if PEER.exists() else None
  ours, theirs = 0.0, 0.0
  try:
    for start, stop in parts(len(pairs), size.turns):
      ours += _timed(made, pairs[start:stop])[0]
      if peer:
        theirs += peer.seconds(start, stop)
    nats = peer and peer.nats()
  finally:
    if peer:
      peer.stop()
  yield Figure('codemix', tokens / ours, 'tokens/s')
  yield Figure('codemix: the first run, with compilation', tokens / first, 'tokens/s')
  if peer is None:
    return
  yield Figure('hf', tokens / theirs, 'tokens/s')
  yield Figure('largest difference of a log-likelihood', np.abs(ours_nats + nats).max(), 'nats', goal=1e-3, more_is_better=False)
  goal = (GOAL if model == MODEL else GOAL_LARGER) if jax.default_backend() == 'cpu' else None
  yield Figure('times as fast as hf', theirs / ours, 'x', goal=goal)


def parts(requests: int, turns: int) -> list[tuple[int, int]]:
  """(start, stop) of each part; the continuations of an item stay together."""
  items = requests // CHOICES
  bounds = [CHOICES * (items * turn // turns) for turn in range(turns + 1)]
  return [(start, stop) for start, stop in itertools.pairwise(bounds) if start < stop]


def _timed(model: Model, pairs: list[tuple[str, str]]):
  began = time.perf_counter()
  scores = model.score(pairs)
  return time.perf_counter() - began, scores


class _Peer:
  """The `hf` on the exported model, in another process."""

  def __init__(self, folder: Path, config: ModelConfig, params, tokenizer: Tokenizer, pairs: list, size: Size):
    out = folder / 'exported'
    out.mkdir()
    special = {'pad': tokenizer.pad_id, 'bos': tokenizer.bos_id, 'eos': tokenizer.eos_id}
    kind = class_of(config)
    files = {**tokenizer_files(tokenizer, size.length), CONFIG: write_config(kind, config, size.length, special, 'float32')}
    write_model(out, kind, config, jax.tree.map(np.asarray, params), files, Export())
    asked, self._answer = folder / 'pairs.json', folder / 'answer.json'
    write_json(asked, pairs)
    self._process = PeerProcess([PEER, lm_eval_peer.__file__, out, asked, str(size.peer_batch), self._answer], folder)
    self.stop = self._process.stop

  def seconds(self, start: int, stop: int) -> float:
    """Of scoring these requests."""
    return self._process.seconds(f'{start} {stop}')

  def nats(self) -> np.ndarray:
    """The log-likelihoods of all requests, negative as the harness has them."""
    self._process.close()
    return np.asarray([nats for nats, _ in json.loads(self._answer.read_text())])


def request_pairs() -> list[tuple[str, str]]:
  """(context, continuation) texts, four of each item."""
  rows = released_rows(HELLASWAG)
  if rows is None:
    return _made_up()
  return [(f'{row["activity_label"]}: {row["ctx"]}', f' {ending}') for row in rows for ending in row['endings']]


def _made_up() -> list[tuple[str, str]]:
  """Texts of words of random letters: contexts of 10 to 70 words, continuations of 5 to 40, as HellaSwag has."""
  rng = random.Random(0)
  words = [''.join(rng.choices('abcdefghijklmnopqrstuvwxyz', k=rng.randint(2, 9))) for _ in range(5000)]
  text = lambda least, most: ' '.join(rng.choices(words, k=rng.randint(least, most)))
  contexts = [text(10, 70) for _ in range(ITEMS)]
  return [(context, ' ' + text(5, 40)) for context in contexts for _ in range(CHOICES)]
