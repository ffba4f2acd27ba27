"""A corpus whose layout marks answers: each token of its store says whether it counts in the loss."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.instruction import Instruction
from codemix.data.corpus.layouts.text import Text
from codemix.data.filters import ExactDuplicates
from codemix.data.raw.record import Record
from codemix.data.settings import Data
from codemix.data.store.describe import describe
from codemix.data.store.shard_writer import loss_file
from codemix.data.store.token_store import open_store
from codemix.data.store.verify import verify_whole
from codemix.data.tokenization.parts import encode_parts, require_joins
from codemix.data.tokenization.tokenizer import ByteTokenizer
from codemix.errors import UserError
from tests import instructions
from tests.data.stores import make_store

PAIRS = instructions.pairs(40)


def store_of(root, documents=PAIRS, shards: int = 2, **settings):
  data = Data(directory=str(root / 'data'), tokenizer='bytes', shards=shards)
  data = instructions.add(data, 'asked', instructions.corpus(root / 'raw', {'train': documents}, **settings))
  return data.open_store('asked', 'train', data.load_tokenizer())


def test_every_token_of_an_answer_and_its_eos_counts_and_no_token_of_a_prompt(tmp_path):
  store = store_of(tmp_path)
  ids, counts = instructions.expected(instructions.in_order(PAIRS))
  assert store.has_prompts and store.read(0, store.tokens).tolist() == ids
  assert store.counts_in_loss(0, store.tokens).tolist() == counts
  assert store.counts_in_loss(3, 200).tolist() == counts[3:200]
  assert store.loss_tokens == sum(counts) == sum(shard['loss_tokens'] for shard in store.manifest['shards'])
  assert verify_whole(store) > 2 * len(ids)
  assert describe(store)['loss_tokens'] == sum(counts)


def test_duplicates_are_dropped_with_what_counts_of_them(tmp_path):
  documents = [*PAIRS, *PAIRS[:15], *instructions.pairs(9, seed=1)]
  store = store_of(tmp_path, documents, filters=(ExactDuplicates(),))
  kept = list(dict.fromkeys(instructions.in_order(documents)))
  ids, counts = instructions.expected(kept)
  assert len(kept) < len(documents)
  assert (store.read(0, store.tokens).tolist(), store.counts_in_loss(0, store.tokens).tolist()) == (ids, counts)


def test_what_counts_is_part_of_the_digest_and_the_number_of_shards_is_not(tmp_path):
  layouts = {'answers': instructions.LAYOUT, 'the last word': Instruction('{ask}: ', '{say}')}
  digests = {name: store_of(tmp_path / name, layout=layout).digest for name, layout in layouts.items()}
  assert len(set(digests.values())) == 2  # of the same tokens
  assert store_of(tmp_path / 'one shard', shards=1).digest == digests['answers']


def test_a_store_without_prompts_is_as_it_was_before_there_were_any(tmp_path):
  store = make_store(tmp_path / 'store', [5, 9, 3, 7], shards=1)
  assert store.digest == '19130ea96def04bdd77ff58f0fb6e7ff844645452cbbc45803d1ce75e64bbb46'  # of codemix before stores had prompts
  assert not store.has_prompts and store.loss_tokens == store.tokens
  assert sorted(path.name.split('-')[0] for path in store.folder.iterdir() if path.name != '.lock') == ['documents', 'manifest.json', 'shard', 'tokens']
  assert 'loss' not in (store.folder / 'manifest.json').read_text()
  assert store.counts_in_loss(2, 9).all()


@pytest.mark.parametrize('change', ['a bit', 'missing', 'shorter', 'not counted'])
def test_a_damaged_file_of_what_counts_is_found_when_the_store_is_opened(tmp_path, change):
  store = store_of(tmp_path)
  path = store.folder / loss_file(store.manifest['shards'][0]['name'])
  whole = path.read_bytes()
  if change == 'a bit':
    path.write_bytes(bytes([1 - whole[0]]) + whole[1:])
  elif change == 'missing':
    path.unlink()
  elif change == 'shorter':
    path.write_bytes(whole[:-1])
  else:
    manifest = json.loads((store.folder / 'manifest.json').read_text())
    del manifest['shards'][0]['loss_tokens']
    (store.folder / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(UserError, match='is damaged'):
    open_store(store.folder)


def test_parts_of_a_text_are_encoded_apart_and_eos_counts_if_the_last_one_does():
  record = Record('ask: say more', answers=((4, 8), (8, 8), (9, 13)))
  assert record.parts() == [('ask:', False), (' say', True), (' ', False), ('more', True)]
  [(ids, counts)] = encode_parts(ByteTokenizer(), [record.parts()])
  assert ids == [*ByteTokenizer().encode(record.text), 2]
  assert np.flatnonzero(~counts).tolist() == [0, 1, 2, 3, 8]
  [(_, counts)] = encode_parts(ByteTokenizer(), [Record('say ask', answers=((0, 3),)).parts()])
  assert np.flatnonzero(counts).tolist() == [0, 1, 2]


@pytest.mark.parametrize('answers', [((3, 2),), ((0, 99),), ((4, 6), (0, 2)), ((-1, 2),)])
def test_answers_that_are_not_parts_of_the_text_are_an_error_that_names_the_record(answers):
  with pytest.raises(UserError, match='the layout .* gives here the answers'):
    Record('ask: say', id='here', answers=answers).parts()


def test_a_tokenizer_that_puts_something_before_each_text_is_refused():
  class Prefixed(ByteTokenizer):
    def encode_batch(self, texts):
      return super().encode_batch([f' {text}' for text in texts])

    def decode_bytes(self, ids):
      return super().decode_bytes(ids)[1:]

  require_joins(ByteTokenizer())
  with pytest.raises(UserError, match='add_dummy_prefix'):
    require_joins(Prefixed())


@dataclasses.dataclass(frozen=True)
class Unsaid(Text):
  def record(self, place, row):
    return Record('ask: say', answers=((4, 8),))


@dataclasses.dataclass(frozen=True)
class Silent(Unsaid):
  marks_answers = True

  def record(self, place, row):
    return Record('nothing to say', answers=())


@pytest.mark.parametrize(('layout', 'message'), [(Unsaid(), 'marks_answers = True'), (Silent(), 'has no answer in its split')])
def test_a_layout_that_does_not_say_what_it_marks_or_marks_nothing_is_an_error(tmp_path, layout, message):
  with pytest.raises(UserError, match=message):
    store_of(tmp_path, layout=layout)


def test_text_that_is_transformed_has_no_answers():
  from codemix.data.transformations import ShuffleLines

  with pytest.raises(UserError, match=r'Corpus\.transformations'):
    Corpus(files={'train': 'x'}, layout=instructions.LAYOUT, transformations=(ShuffleLines(),))
