"""Tokens decoded by the table are the tokenizer's own bytes, and each byte is told its token."""

from __future__ import annotations

import io

import numpy as np
import pytest

from codemix.contamination.decoding import make_decoder
from codemix.contamination.normalise import alphabet, characters
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer

TEXTS = ['the na\u00efve reader reads the reader', 'def f(x): return x + 1\n', '\u4f60\u597d \U0001f600 caf\u00e9 the end'] * 4


def bpe(folder):
  return train_bpe(TEXTS, 270, folder / 'tokenizer.json')


def sentencepiece(folder):
  spm = pytest.importorskip('sentencepiece')
  model = io.BytesIO()
  spm.SentencePieceTrainer.train(
    sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=60, hard_vocab_limit=False, model_type='bpe',
    pad_id=0, bos_id=1, eos_id=2, unk_id=3, minloglevel=2,
  )  # fmt: skip
  (folder / 'tokenizer.model').write_bytes(model.getvalue())
  return load_tokenizer(folder / 'tokenizer.model', lossy=True)


@pytest.mark.parametrize('make', [lambda folder: load_tokenizer('bytes'), bpe], ids=['bytes', 'bpe'])
def test_the_table_gives_the_bytes_of_the_tokenizer(make, tmp_path):
  tokenizer = make(tmp_path)
  decoder = make_decoder(tokenizer)
  for text in TEXTS:
    ids = tokenizer.encode(text)
    decoded, offsets = decoder.decode(np.asarray([*ids, tokenizer.eos_id, *ids]))
    assert decoded == text.encode() + b'\n' + text.encode()
    assert [decoded[a:b] for a, b in zip(offsets[: len(ids)], offsets[1:], strict=False)] == [
      tokenizer.decode_bytes([id]) for id in ids
    ]


def test_sentencepiece_gives_the_same_words(tmp_path):
  tokenizer = sentencepiece(tmp_path)
  decoder = make_decoder(tokenizer)
  words = lambda text: alphabet(False).units(characters(text)).values.tolist()
  for text in TEXTS:
    decoded, _ = decoder.decode(np.asarray(tokenizer.encode(text)))
    assert words(decoded) == words(text.encode())
