import random

import numpy as np
import pytest

from codemix.data.store import find_text, token_store
from codemix.data.store.find_text import Passage
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer

WORDS = ['alpha', 'beta', 'def', 'return', '  ', '\n', 'naïve', '→', '(x)', '1234']


@pytest.fixture(scope='module')
def texts() -> list[str]:
  rng = random.Random(0)
  return [''.join(rng.choices(WORDS, k=rng.randint(1, 120))) for _ in range(60)]


@pytest.fixture(params=['bytes', 'bpe'])
def tokenizer(request, texts, tmp_path):
  if request.param == 'bytes':
    return load_tokenizer('bytes')
  return train_bpe(texts, 320, tmp_path / 'bpe.json')


@pytest.mark.parametrize('window', [7, 64, find_text.WINDOW])
def test_every_place_of_a_passage_is_found_and_no_other(texts, tokenizer, tmp_path, monkeypatch, window):
  monkeypatch.setattr(find_text, 'WINDOW', window)
  rows = [(np.append(tokenizer.encode(text), tokenizer.eos_id), len(text.encode())) for text in texts]
  dtype = token_store.token_dtype(tokenizer.vocab_size)
  token_store.write_shard(tmp_path / 'store', 'only', rows, dtype)
  store = token_store.write_manifest(tmp_path / 'store', {}, ['only'], dtype)
  begins = np.concatenate([[0], store.document_ends[:-1]]).tolist()
  for wanted in ('beta', 'return\n', 'ïve→', 'alphabetadef', texts[-1], 'alphabet soup'):
    found = list(find_text.find(store, tokenizer, wanted.encode()))
    expected = [
      (number, at)
      for number, text in enumerate(texts)
      for at in range(len(text))
      if text.startswith(wanted, at)
    ]
    assert [place.document for place in found] == [number for number, _ in expected]
    for place in found:
      assert begins[place.document] <= place.start < place.stop <= store.document_ends[place.document]
      held = tokenizer.decode_bytes(store.read(place.start, place.stop).tolist())
      assert wanted.encode() in held
      assert wanted.encode() not in tokenizer.decode_bytes(store.read(place.start + 1, place.stop).tolist())


def test_a_passage_is_not_put_together_from_two_documents(tmp_path):
  tokenizer = load_tokenizer('bytes')
  rows = [(np.append(tokenizer.encode(text), tokenizer.eos_id), len(text)) for text in ('one two', 'three', 'two three')]
  token_store.write_shard(tmp_path, 'only', rows, np.dtype('<u2'))
  store = token_store.write_manifest(tmp_path, {}, ['only'], np.dtype('<u2'))
  assert list(find_text.find(store, tokenizer, b'twothree')) == []
  assert list(find_text.find(store, tokenizer, b'two')) == [Passage(0, 4, 7), Passage(2, 14, 17)]
