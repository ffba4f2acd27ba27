"""A long text in parts has the ids of the whole, with the pre-tokenization for which that is claimed."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.tokenization import chunks
from codemix.data.tokenization.bpe import BpeTokenizer, train_bpe

# Letters, digits, marks, punctuation, and white space of which Python and the library think differently.
ALPHABET = 'aZ9é\u0301日.:_({ \t\r\x0b\x1c\x1f\x85\xa0\u2028\u3000' + 12 * '\n'
TEXT = 'def f(x):\n    return x + 1\n\n\n# 日本 text, größer...\n\n  \n\tx = 12345\r\nend\n' * 30


@pytest.fixture(scope='module')
def bpe(tmp_path_factory) -> BpeTokenizer:
  return train_bpe([TEXT], 300, tmp_path_factory.mktemp('bpe') / 'bpe.json')


def whole(bpe: BpeTokenizer, text: str) -> list[int]:
  return bpe._backend.encode(text, add_special_tokens=False).ids


@settings(max_examples=300, deadline=None)
@given(st.text(ALPHABET, max_size=60), st.integers(1, 8), st.integers(1, 20))
def test_parts_have_the_ids_of_the_whole(bpe, text, part, group):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(chunks, 'PART_CHARACTERS', part)
    patch.setattr(chunks, 'GROUP_CHARACTERS', group)
    assert ''.join(chunks.divide(text)) == text
    assert bpe.encode_batch([text, 'x', text]) == [whole(bpe, text), whole(bpe, 'x'), whole(bpe, text)]


def test_parts_of_real_texts_have_the_ids_of_the_whole(bpe, shared_data, monkeypatch):
  monkeypatch.setattr(chunks, 'PART_CHARACTERS', 50)
  for file in ('text/c4/validation.jsonl.gz', 'markup/python_peps/peps.jsonl.gz'):
    path = next(iter(shared_data.glob(f'corpora/{file}')), None)
    if path is None:
      continue
    with gzip.open(path) as lines:
      texts = [json.loads(line)['text'] for line in itertools.islice(lines, 200)]
    assert bpe.encode_batch(texts) == [whole(bpe, text) for text in texts]


def test_a_text_is_divided_only_behind_a_line_end(monkeypatch):
  monkeypatch.setattr(chunks, 'PART_CHARACTERS', 3)
  assert chunks.divide('abcdef\n ghi\njkl\n\nmno\n') == ['abcdef\n ghi\n', 'jkl\n\n', 'mno\n']
  assert chunks.divide('') == ['']


@pytest.mark.parametrize(
  'edit',
  [
    lambda d: d['pre_tokenizer']['pretokenizers'][0].update(pattern={'Regex': r'\\s+|\\S+'}),
    lambda d: d['pre_tokenizer']['pretokenizers'][0].update(behavior='MergedWithNext'),
    lambda d: d.update(pre_tokenizer=d['pre_tokenizer']['pretokenizers'][1]),
    lambda d: d.update(pre_tokenizer=None),
    lambda d: d.update(normalizer={'type': 'NFC'}),
    lambda d: d['added_tokens'].append({**d['added_tokens'][0], 'id': 5, 'content': '\nx', 'special': False}),
  ],
)
def test_a_tokenizer_that_cuts_otherwise_gets_texts_whole(bpe, edit):
  from codemix.data.tokenization.bpe import PRE_TOKENIZATION

  definition = json.loads(bpe._definition)
  assert chunks.may_divide(definition, PRE_TOKENIZATION)
  edit(definition)
  assert not chunks.may_divide(definition, PRE_TOKENIZATION)
