from __future__ import annotations

from pathlib import Path

import pytest

from codemix.data.tokenization.bpe import train_bpe
from tests import tiny_study


@pytest.fixture(scope='session')
def bpe(tmp_path_factory) -> Path:
  """A tokenizer.json of codemix with some merges."""
  path = tmp_path_factory.mktemp('bpe') / 'tokenizer.json'
  texts = [text for name in ('text', 'code') for text in tiny_study.documents(name, 40, 60, 0)]
  train_bpe(texts, 300, path)
  return path
