"""The text of a completion is exactly what its tokens add to the prompt, up to the first stop text."""

from __future__ import annotations

import functools
import types

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import ByteTokenizer, load_tokenizer
from codemix.errors import UserError
from codemix.evaluation import completions
from codemix.evaluation.completions import Texts, prompt_row
from codemix.evaluation.model import Model
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.models.decoding import Completion, Decoding
from codemix.models.generate import Generated
from codemix.parallel.sharding import RULES
from tests.in_process import one_device_mesh

TEXTS = ['def größe(x):\n  return "日本" + x\n\n\nclass A:\n', ' the cat sat on the mat\n', 'aéb\u00e8 \U0001f600 c', '\n\nabab', '']
MODEL = ModelConfig(259, layers=1, width=16, ffn_width=24, heads=2, head_dim=8, dtype='float32')
LENGTH = 64


@pytest.fixture(scope='module')
def tokenizers(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizers')
  bpe = train_bpe(TEXTS * 20, 300, folder / 'bpe.json')
  SentencePieceTrainer.train(
    sentence_iterator=iter([line for text in TEXTS for line in text.splitlines() if line] * 50), model_prefix=str(folder / 'sp'),
    vocab_size=310, pad_id=0, bos_id=1, eos_id=2, unk_id=3, byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
  )  # fmt: skip
  lossy = load_tokenizer(folder / 'sp.model', lossy=True)  # SentencePiece's defaults, as public checkpoints have them
  return {'bytes': ByteTokenizer(), 'bpe': bpe, 'sentencepiece': lossy}


@functools.cache
def params():
  return jax.jit(lambda: decoder.init_params(MODEL, 0))()


def model(tokenizer=None, length=LENGTH) -> Model:
  return Model('any', 0, '', MODEL, tokenizer or ByteTokenizer(), length, 1, one_device_mesh(), RULES, params)


def completed(texts: Texts, ids: list[int], chunk: int) -> tuple[Generated, Completion]:
  """What the engine does: it looks for a stop after each chunk."""
  for searched in range(0, len(ids), chunk):
    if (stopped := texts.stopped(ids[: searched + chunk], searched)) is not None:
      generated = Generated(ids[:stopped], 'stop')
      return generated, texts.completion(generated)
  generated = Generated(ids, 'length')
  return generated, texts.completion(generated)


@pytest.mark.parametrize('kind', ['bytes', 'bpe'])
@given(text=st.sampled_from(TEXTS) | st.text(alphabet='ab\n é日', max_size=30), stop=st.lists(st.text(alphabet='ab\n é日', min_size=1, max_size=4), max_size=3), chunk=st.integers(1, 7))
def test_a_completion_is_the_text_before_the_stop_that_ends_first(tokenizers, kind, text, stop, chunk):
  tokenizer = tokenizers[kind]
  ids = tokenizer.encode(text)
  generated, completion = completed(Texts(tokenizer, stop), ids, chunk)
  # A plain search: token by token.
  whole = [tokenizer.decode_bytes(ids[:n]) for n in range(len(ids) + 1)]
  stops = [one.encode() for one in stop]
  n = next((n for n, so_far in enumerate(whole) if any(one in so_far for one in stops)), None)
  if n is None:
    assert (completion.text, completion.ended_by, completion.tokens) == (text, 'length', len(ids))
  else:
    first = min(at for one in stops if (at := whole[n].find(one)) >= 0)
    assert (completion.text.encode(), completion.ended_by, completion.tokens) == (whole[n][:first], 'stop', n)
    assert generated.ids == ids[:n]


def test_a_character_that_the_end_divides_is_shown_as_damaged():
  tokenizer = ByteTokenizer()
  ids = tokenizer.encode('a日')[:-1]
  assert Texts(tokenizer, ()).completion(Generated(ids, 'length')).text == 'a\ufffd'


def test_sentencepiece_keeps_the_space_that_begins_a_completion(tokenizers):
  tokenizer = tokenizers['sentencepiece']
  whole = tokenizer.encode('the cat sat')
  prompt = tokenizer.encode('the')
  assert whole[: len(prompt)] == prompt
  new = whole[len(prompt) :]
  assert Texts(tokenizer, ()).completion(Generated(new, 'length')).text == ' cat sat'
  assert Texts(tokenizer, [' sat']).stopped(new, 0) == len(new)


def test_a_prompt_is_cut_from_the_left_and_keeps_bos_and_a_token():
  ids = list(range(10, 30))
  assert prompt_row(ids, 1, 64, Decoding(max_new_tokens=8)) == [1, *ids]
  assert prompt_row(ids, 1, 16, Decoding(max_new_tokens=8)) == [1, *ids[-7:]]
  assert prompt_row(ids, 1, 16, Decoding(max_new_tokens=15)) == prompt_row(ids, 1, 16, Decoding(max_new_tokens=99)) == [1, 29]
  assert prompt_row([], 1, 16, Decoding()) == [1]


def test_stops_in_the_engine_end_as_a_cut_of_the_longer_text():
  prompts, keys = ['def f', '', 'é'], ['a', 'b', 'c']
  decoding = Decoding(max_new_tokens=40, temperature=1.0, samples=2, seed=3)
  free = model().complete(prompts, keys, decoding)
  stop = next(character for character in free[0][0].text[5:] if character.isascii())
  ended = model().complete(prompts, keys, Decoding(**vars(decoding) | {'stop': (stop,)}))
  for longer, samples in zip(free, ended, strict=True):
    for before, after in zip(longer, samples, strict=True):
      assert after.text == before.text.split(stop)[0]
      assert after.ended_by == ('stop' if stop in before.text else before.ended_by)
  assert ended[0][0].ended_by == 'stop'


def test_keys_seed_the_samples_and_without_them_the_prompts_do():
  decoding = Decoding(max_new_tokens=20, temperature=1.0)
  complete = lambda prompts, keys: [one.text for (one,) in model().complete(prompts, keys, decoding)]
  a, b = complete(['x', 'x'], ['a', 'b'])
  assert a != b and complete(['x'], ['b']) == [b]
  assert complete(['x', 'y', 'x'], None) == [complete(['x'], None)[0], complete(['y'], None)[0], complete(['x'], None)[0]]


def test_completions_longer_than_the_model_length_go_on():
  (one,), = model(length=8).complete(['some prompt'], None, Decoding(max_new_tokens=20))
  assert one.tokens == 20 or one.ended_by == 'eos'


def test_settings_out_of_range_are_named():
  for options, message in (
    ({'temperature': -0.1}, 'temperature is -0.1'), ({'temperature': float('nan')}, 'temperature is nan'), ({'top_k': -1}, 'top_k is -1'),
    ({'top_p': 0.0}, 'top_p is 0'), ({'top_p': 1.1}, 'top_p is 1.1'), ({'max_new_tokens': 0}, 'max_new_tokens is 0'),
    ({'max_new_tokens': 10**9}, 'max_new_tokens is 1'), ({'stop': ('',)}, 'stop'), ({'samples': 0}, 'samples is 0'),
  ):  # fmt: skip
    with pytest.raises(UserError, match=message):
      Decoding(**options)


def test_no_prompts_give_nothing():
  assert model().complete([], [], Decoding()) == []
  assert np.asarray(model().complete([''], None, Decoding(max_new_tokens=1))).size


def test_prompts_that_lose_their_beginning_are_counted(capsys):
  prompts = ['a' * 60, 'a']
  stub = types.SimpleNamespace(
    name='short', length=32, tokenizer=load_tokenizer('bytes'), config=MODEL, params=None, mesh=None, rules=None,
  )  # fmt: skip
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(completions, 'generate', lambda config, params, rows, *rest, **settings: [[] for _ in rows])
    completions.complete(stub, prompts, None, Decoding(max_new_tokens=16), lambda done: None)
  assert "stage 'short': 1 of 2 prompts lost their beginning" in capsys.readouterr().err
