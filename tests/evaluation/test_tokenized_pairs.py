"""A pair of texts is divided as lm-evaluation-harness divides it, and no text of a continuation is lost."""

from __future__ import annotations

import pytest

from codemix.data.tokenization.bpe import train_bpe
from codemix.evaluation.continuations import tokenized

TEXT = 'the cat sat on the mat and the cats sat on the mats with a hat. 12 123 x = y(z)\n' * 9


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  return train_bpe([TEXT], 280, tmp_path_factory.mktemp('bpe') / 'tokenizer.json')


PAIRS = [('the cat', ' sat'), ('the cat ', 'sat'), ('the cat', 's sat'), ('on\n\n', 'the'), ('', 'the'), (' ', 'mat'), ('the', ''), ('', '')]


@pytest.mark.parametrize(('context', 'continuation'), PAIRS)
def test_it_is_divided_where_the_ids_of_the_context_alone_end(tokenizer, context, continuation):
  [(before, after)] = tokenized(tokenizer, [(context, continuation)])
  assert before == tokenizer.encode(context.rstrip())
  assert after == tokenizer.encode(context + continuation)[len(before) :]


def test_many_pairs_are_divided_as_each_alone(tokenizer):
  assert tokenized(tokenizer, PAIRS * 2) == [tokenized(tokenizer, [pair])[0] for pair in PAIRS] * 2


def test_a_continuation_that_a_token_of_the_context_would_swallow_keeps_its_own_tokens(tokenizer):
  whole = next(text for text in ('123', 'the', 'sat', 'cat') if len(tokenizer.encode(text)) == 1)
  context, continuation = whole[:-1], whole[-1]
  assert len(tokenizer.encode(context)) == 1
  assert tokenized(tokenizer, [(context, continuation)]) == [(tokenizer.encode(context), tokenizer.encode(continuation))]


def test_white_space_between_the_two_is_part_of_one_of_them(tokenizer):
  assert tokenized(tokenizer, [('the cat ', 'sat')]) == tokenized(tokenizer, [('the cat', ' sat')])


def test_the_same_texts_have_the_same_tokens_as_bytes():
  from codemix.data.tokenization.tokenizer import load_tokenizer

  tokenizer = load_tokenizer('bytes')
  for context, continuation in PAIRS:
    [(before, after)] = tokenized(tokenizer, [(context, continuation)])
    assert before + after == tokenizer.encode(context + continuation)
