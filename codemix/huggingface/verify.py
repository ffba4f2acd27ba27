"""Verifies an export from the files that were written: logits, and the ids of texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.huggingface import peer, reference
from codemix.huggingface.model_config import CONFIG
from codemix.huggingface.tensors import Params
from codemix.huggingface.tokenizer_export import TOKENIZER
from codemix.huggingface.weights import open_weights
from codemix.models import reference as decoder
from codemix.models.config import ModelConfig
from codemix.storage import read_json

LENGTH = 256  # tokens of the row whose logits are compared, at most

# The largest difference of a logit, as a share of the largest logit. Float64 on both sides differs by 1e-14,
# and by 1e-7 where `logit_scale` was folded into float32 scales. Float32 on both sides differed by up to 2e-4 at
# 1,024 tokens and doubled weights; a head out of place, a wrong base or scale differ by 1e-2 and more.
OWN_TOLERANCE = 1e-5
PEER_TOLERANCE = 1e-3

# White space, digits, scripts, special tokens spelled in text, and bytes of every kind.
TEXTS = (
  'def f(x):\n  return x + 1\n\n\nprint(f(41))\n',
  '  The   model\treads 12345 stones. \u00c4pfel, \u6f22\u5b57, \u0e44\u0e17\u0e22, e\u0301, \U0001f642\u200d\u2640\n \n',
  '<bos><eos> <pad></s><s><|endoftext|> \u2581 <0x41>',
  ''.join(map(chr, range(256))),
)


class Verified(NamedTuple):
  """What was compared.

  Attributes:
    by: who computed the other side.
    difference: the largest of a logit.
    largest: the largest logit.
    tokens: of the row.
  """

  by: str
  difference: float
  largest: float
  tokens: int


def verify(folder: Path, config: ModelConfig, params: Params, length: int, tokenizer: Tokenizer | None, python: Path | None) -> Verified:
  """Compares the model in `folder` with `codemix.models.reference`.

  The other side is transformers, both in float32, if `python` or this Python has it; else
  `codemix.huggingface.reference`, both in float64.

  Raises UserError: the two differ, or `python` cannot load the folder.

  Args:
    params: what was exported.
    length: tokens of a training row; no more are compared.
    tokenizer: whose ids are compared; None for none.
    python: one that has torch and transformers.
  """
  ids_L = np.random.default_rng(0).integers(0, config.vocab_size, min(length, LENGTH))
  if python is None and peer.is_here():
    python = Path(sys.executable)
  # Float32 rounds the angles of rotary positions, on both sides alike.
  expected_LxV = decoder_logits(config, params, ids_L, 'float32' if python else 'float64')
  found = _by_peer(folder, ids_L, python, tokenizer) if python else _by_own_reader(folder, ids_L, tokenizer)
  largest = float(np.abs(expected_LxV).max())
  if found.logits.shape != expected_LxV.shape:
    raise UserError(f'the export was removed: {found.by} gives logits of shape {found.logits.shape}, and codemix {expected_LxV.shape}.')
  difference = float(np.abs(found.logits - expected_LxV).max())
  tolerance = PEER_TOLERANCE if python else OWN_TOLERANCE
  if not difference <= tolerance * max(largest, 1.0):
    raise UserError(
      f'the export was removed: its logits, computed by {found.by}, differ from those of the stage by up to {difference:.2g}, where '
      f'{tolerance * max(largest, 1.0):.2g} is allowed (the largest logit is {largest:.3g}). Please report this.'
    )
  for text, ids in zip(TEXTS, found.texts, strict=False):
    if ids != [tokenizer.bos_id, *tokenizer.encode(text)]:
      raise UserError(f'the export was removed: {found.by} gives other ids than codemix to the text {text!r}. Please report this.')
  return Verified(found.by, difference, largest, len(ids_L))


def decoder_logits(config: ModelConfig, params: Params, ids_L: np.ndarray, dtype: str = 'float64') -> np.ndarray:
  """codemix's definition of the decoder: [L, V] of one document."""
  with jax.enable_x64(dtype == 'float64'):
    row = ids_L[None], np.zeros((1, len(ids_L)), np.int32), np.arange(len(ids_L))[None]
    return np.asarray(decoder.logits(config, params, *row, dtype=dtype))[0]


class _Found(NamedTuple):
  by: str
  logits: np.ndarray
  texts: Sequence[list[int]]


def _by_own_reader(folder: Path, ids_L: np.ndarray, tokenizer: Tokenizer | None) -> _Found:
  config: dict[str, Any] = read_json(folder / CONFIG)
  return _Found("codemix's reader", reference.logits(config, open_weights(folder).read, ids_L), _ids_of_texts(folder) if tokenizer else ())


def _ids_of_texts(folder: Path) -> list[list[int]]:
  from tokenizers import Tokenizer as Backend

  backend = Backend.from_file(str(folder / TOKENIZER))
  backend.encode_special_tokens = True
  return [backend.encode(text).ids for text in TEXTS]


def _by_peer(folder: Path, ids_L: np.ndarray, python: Path, tokenizer: Tokenizer | None) -> _Found:
  with tempfile.TemporaryDirectory(prefix='codemix-verify-') as place:
    asked, answer = Path(place) / 'asked.json', Path(place) / 'answer.npz'
    asked.write_text(json.dumps({'ids': ids_L.tolist(), 'texts': list(TEXTS) if tokenizer else []}))
    program = str(python.absolute() if python.exists() else python)  # else one in PATH
    command = [program, peer.__file__, str(folder.absolute()), str(asked), str(answer)]
    # The other Python has its own packages, and nothing is downloaded.
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')} | {'HF_HUB_OFFLINE': '1'}
    try:
      ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=place, check=False)
    except OSError as error:
      raise UserError(f'--verify_with={python} cannot be run: {error.strerror}. Name a Python that has torch and transformers.') from None
    if ran.returncode or not answer.exists():
      said = (ran.stderr.strip().splitlines() or ['it said nothing'])[-1]
      raise UserError(f'--verify_with={python} could not load the export, which was removed: {said}. Name a Python that has torch and transformers.')
    with np.load(answer) as arrays:
      texts = [arrays[f'text{n}'].tolist() for n in range(len(TEXTS))] if tokenizer else []
      return _Found(str(arrays['by']), arrays['logits'].astype(np.float64), texts)
