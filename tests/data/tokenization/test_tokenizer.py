"""Tokenizers give back every byte, take no special id from text, and are what their file says."""

import copy
import gzip
import hashlib
import io
import itertools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.settings import Data
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import SPECIAL_TOKENS, load_tokenizer
from codemix.errors import UserError

PROSE = [
  f'In the year {1900 + n} the ship went down near Cape {name}, and nobody knew why.\n\n'
  for n in range(30)
  for name in ('Wrath', 'Horn', 'Agulhas')
]
CODE = [
  f'def area_{n}(self, width, height=None):\n'
  '    if height is None:\n'
  '        return width ** 2\n'
  f'    return width * height + {n * 37}\n\n'
  for n in range(60)
]
VOCAB_SIZE = 360

# Combining marks, wide spaces, line ends, special tokens, lone surrogates; and bytes cut off.
AWKWARD_TEXT = [
  '<eos>', '<pad>', '<bos>', '\r\n', '\n\n    ', '\t', ' ', '\u3000', 'e\u0301', '\ud83d', '\0'
]
AWKWARD_BYTES = [b'caf\xe9', b'\xed\xa0\xbd', b'\xf0\x9f', b'ok ', b'\xff']
awkward_text = st.lists(
  st.text(max_size=8) | st.sampled_from(AWKWARD_TEXT), max_size=12
).map(''.join)
awkward_bytes = st.lists(
  st.binary(max_size=16) | st.sampled_from(AWKWARD_BYTES), max_size=9
).map(b''.join)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('tokenizers')


@pytest.fixture(scope='module')
def bpe(folder):
  return train_bpe(PROSE + CODE, VOCAB_SIZE, folder / 'tokenizer.json')


@pytest.fixture(scope='module')
def sentencepiece(folder):
  from sentencepiece import SentencePieceTrainer

  model = io.BytesIO()
  SentencePieceTrainer.train(
    sentence_iterator=iter(PROSE + CODE), model_writer=model, vocab_size=330, byte_fallback=True,
    normalization_rule_name='identity', remove_extra_whitespaces=False, add_dummy_prefix=False,
    pad_id=0, bos_id=1, eos_id=2, unk_id=3, minloglevel=2, hard_vocab_limit=False,
  )
  path = folder / 'sentencepiece.model'
  path.write_bytes(model.getvalue())
  return load_tokenizer(path)


@pytest.fixture(scope='module')
def raw_bytes():
  return load_tokenizer('bytes')


@pytest.fixture(params=['bpe', 'raw_bytes', 'sentencepiece'], scope='module')
def any_tokenizer(request):
  return request.getfixturevalue(request.param)


@pytest.fixture(params=['bpe', 'raw_bytes'], scope='module')
def lossless(request):
  return request.getfixturevalue(request.param)


def edited(tokenizer_path, path, edit):
  """A copy of a tokenizer.json after `edit` has changed its contents."""
  content = json.loads(tokenizer_path.read_text())
  edit(content)
  path.write_text(json.dumps(content))
  return path


@settings(deadline=None)
@given(data=awkward_bytes)
def test_any_bytes_come_back(lossless, data):
  assert lossless.decode_bytes(lossless.encode(data)) == data


@settings(deadline=None)
@given(text=awkward_text)
def test_any_text_comes_back(lossless, text):
  data = text.encode('utf-8', 'surrogatepass')
  ids = lossless.encode(text)
  assert lossless.decode_bytes(ids) == data
  assert lossless.encode(data) == ids
  assert lossless.decode(ids) == data.decode('utf-8', 'replace')


@settings(deadline=None)
@given(text=awkward_text)
def test_no_text_encodes_to_a_special_id(any_tokenizer, text):
  special = {any_tokenizer.pad_id, any_tokenizer.bos_id, any_tokenizer.eos_id}
  assert not special & set(any_tokenizer.encode(text))


def test_text_that_spells_special_tokens_comes_back(any_tokenizer):
  text = 'a</s><eos> b<pad><bos>'
  if any_tokenizer.kind == 'sentencepiece':
    assert any_tokenizer.eos_id not in any_tokenizer.encode('</s>')
  assert any_tokenizer.decode(any_tokenizer.encode(text)) == text


@settings(deadline=None)
@given(texts=st.lists(awkward_text | awkward_bytes, max_size=6))
def test_a_batch_is_its_texts_one_by_one(any_tokenizer, texts):
  assert any_tokenizer.encode_batch(texts) == [any_tokenizer.encode(text) for text in texts]


@settings(deadline=None)
@given(text=awkward_text)
def test_ids_are_python_ints_below_vocab_size(any_tokenizer, text):
  ids = any_tokenizer.encode(text)
  assert all(type(id) is int and 0 <= id < any_tokenizer.vocab_size for id in ids)


@settings(deadline=None)
@given(text=awkward_text, at=st.integers(0, 20))
def test_ids_without_text_decode_to_nothing(any_tokenizer, text, at):
  ids = any_tokenizer.encode(text)
  special = [any_tokenizer.bos_id, any_tokenizer.pad_id, any_tokenizer.eos_id]
  silent = [*special, any_tokenizer.vocab_size, -1]
  assert any_tokenizer.decode_bytes(ids[:at] + silent + ids[at:]) == any_tokenizer.decode_bytes(ids)


def test_numpy_ids_decode_like_python_ints(any_tokenizer):
  ids = any_tokenizer.encode('return width ** 2\n')
  assert any_tokenizer.decode(np.array(ids, np.int32)) == 'return width ** 2\n'


def test_a_copy_and_a_pickle_encode_alike(any_tokenizer):
  text = 'return <eos> 12345'
  for other in (pickle.loads(pickle.dumps(any_tokenizer)), copy.deepcopy(any_tokenizer)):
    assert other.digest == any_tokenizer.digest
    assert other.encode(text) == any_tokenizer.encode(text)
    assert other.encode_batch([text]) == any_tokenizer.encode_batch([text])


def test_digest_is_the_sha256_of_the_file(bpe, sentencepiece, raw_bytes, folder):
  for name, tokenizer in (('tokenizer.json', bpe), ('sentencepiece.model', sentencepiece)):
    assert tokenizer.digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
  assert len({bpe.digest, sentencepiece.digest, raw_bytes.digest}) == 3


def test_special_ids_lead_the_vocabulary(any_tokenizer):
  assert (any_tokenizer.pad_id, any_tokenizer.bos_id, any_tokenizer.eos_id) == (0, 1, 2)


def test_bytes_are_offset_by_the_special_ids(raw_bytes):
  assert raw_bytes.encode(b'\x00A\xff') == [3, 68, 258]
  assert raw_bytes.vocab_size == 259


def test_training_fills_the_vocabulary_and_loads_again(bpe, folder):
  assert bpe.kind == 'bpe'
  assert bpe.vocab_size == VOCAB_SIZE
  again = load_tokenizer(folder / 'tokenizer.json')
  assert again.digest == bpe.digest
  assert again.encode(CODE[7]) == bpe.encode(CODE[7])


def test_training_compresses_text_and_code(bpe):
  for document in (PROSE[5], CODE[5]):
    assert len(bpe.encode(document)) < len(document) / 3


def test_indentation_is_one_token_and_digits_come_in_threes(bpe, folder):
  line = '        return 1900000\n'
  assert [bpe.decode([id]) for id in bpe.encode(line)][:2] == [' ' * 7, ' return']
  often = train_bpe(['1234567 = 1234567\n'] * 9, 263, folder / 'digits.json')
  assert [often.decode([id]) for id in often.encode('1234567')] == ['123', '456', '7']


def test_training_file_is_independent_of_threads_and_hash_seed(folder):
  script = (
    'import sys, pathlib; from codemix.data.tokenization.bpe import train_bpe\n'
    'texts = [f"{a}{b} = {b}({a}, {a * b})\\n" for a in range(40) for b in "abcdefgh"]\n'
    'train_bpe(texts, 330, pathlib.Path(sys.argv[1]))\n'
  )
  files = []
  for threads in ('1', '2', '5'):
    path = folder / f'threads-{threads}.json'
    environment = os.environ | {'RAYON_NUM_THREADS': threads, 'PYTHONHASHSEED': threads}
    subprocess.run([sys.executable, '-c', script, path], check=True, env=environment)
    files.append(path.read_bytes())
  assert files[0] == files[1] == files[2]


def test_training_leaves_out_bytes_that_are_not_utf8(bpe, folder):
  damaged = [text.encode() + b'\xff\xfe\xe9' for text in PROSE + CODE]
  assert train_bpe(damaged, VOCAB_SIZE, folder / 'damaged.json').digest == bpe.digest


def test_the_file_is_an_ordinary_tokenizers_file(bpe, folder):
  bare = tokenizers.Tokenizer.from_file(str(folder / 'tokenizer.json'))
  assert bare.get_vocab_size() == bpe.vocab_size
  assert [bare.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
  for text in (PROSE[3], CODE[3], 'ünï\u0301code \U0001f600\n\n'):
    assert bare.encode(text).ids == bpe.encode(text)


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=30))
def test_the_bare_library_decodes_any_ids_to_the_same_text(bpe, folder, ids):
  bare = tokenizers.Tokenizer.from_file(str(folder / 'tokenizer.json'))
  assert bare.decode(ids) == bpe.decode(ids)


def test_real_text_and_code_come_back(bpe, shared_data):
  corpora = shared_data / 'corpora'
  with gzip.open(corpora / 'code/codexglue_line_completion/py150_dev.jsonl.gz', 'rt') as code:
    documents = [json.loads(line)['input'] for line in itertools.islice(code, 200)]
  with gzip.open(corpora / 'text/wikitext2/valid.jsonl.gz', 'rt') as text:
    documents += [json.loads(line)['text'] for line in text]
  decoded = [bpe.decode(ids) for ids in bpe.encode_batch(documents)]
  assert len(documents) > 250
  assert decoded == documents


# What the user got wrong.


@pytest.mark.parametrize('spec, says', [
  ('byte', "Did you mean 'bytes'"),
  ('missing/tokenizer.json', 'missing/tokenizer.json does not exist'),
  ('missing.model', 'codemix tokenizer'),
  ('tokenizer.txt', "'tokenizer.txt'"),
])
def test_a_wrong_name_is_explained(spec, says):
  with pytest.raises(UserError, match=says):
    load_tokenizer(spec)


def test_a_folder_in_place_of_the_file_is_explained(tmp_path):
  (tmp_path / 'tokenizer.json').mkdir()
  with pytest.raises(UserError, match='tokenizer.json is a folder'):
    load_tokenizer(tmp_path / 'tokenizer.json')


@pytest.mark.parametrize('name', ['tokenizer.json', 'sentencepiece.model'])
@pytest.mark.parametrize('keep', [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(bpe, sentencepiece, folder, tmp_path, name, keep):
  whole = (folder / name).read_bytes()
  (tmp_path / name).write_bytes(whole[: int(len(whole) * keep)])
  with pytest.raises(UserError, match=f'{name} is not a .*damaged.*copy it or train it again'):
    load_tokenizer(tmp_path / name)


def test_a_sentencepiece_model_cut_off_between_its_parts_is_named(sentencepiece, folder, tmp_path):
  from sentencepiece.sentencepiece_model_pb2 import ModelProto

  model = ModelProto.FromString((folder / 'sentencepiece.model').read_bytes())
  for field in ('normalizer_spec', 'self_test_data', 'denormalizer_spec'):
    model.ClearField(field)
  (tmp_path / 'short.model').write_bytes(model.SerializeToString())
  with pytest.raises(UserError, match='short.model is not a SentencePiece model'):
    load_tokenizer(tmp_path / 'short.model')


@pytest.mark.parametrize('content', [b'{}', b'[1, 2]', b'{"a": 1}', b'\x80\x81', b'not json'])
@pytest.mark.parametrize('suffix', ['json', 'model'])
def test_a_file_that_is_no_tokenizer_is_named(tmp_path, content, suffix):
  path = tmp_path / f'other.{suffix}'
  path.write_bytes(content)
  with pytest.raises(UserError, match=f'other.{suffix} is not'):
    load_tokenizer(path)


def test_a_file_on_which_the_library_panics_is_named(bpe, folder, tmp_path):
  path = edited(folder / 'tokenizer.json', tmp_path / 'prefix.json', lambda content: content['model'].update(continuing_subword_prefix='####'))
  with pytest.raises(UserError, match='prefix.json is not a tokenizer.json'):
    load_tokenizer(path)


def test_a_name_that_differs_in_case_is_a_slip(folder, bpe):
  data = Data(directory=str(folder), tokenizer='Tokenizer.JSON')
  assert data.suggested_tokenizer() == " Did you mean 'tokenizer.json'?"


def test_missing_special_tokens_are_listed(bpe, folder, tmp_path):
  def rename(content):
    content['added_tokens'][2]['content'] = '<|end|>'
    content['model']['vocab']['<|end|>'] = content['model']['vocab'].pop('<eos>')

  path = edited(folder / 'tokenizer.json', tmp_path / 'renamed.json', rename)
  with pytest.raises(UserError, match='renamed.json lacks the special tokens <eos>: rename'):
    load_tokenizer(path)


SPLIT = {'type': 'Split', 'pattern': {'Regex': '\\s+|\\S+'}, 'behavior': 'Isolated', 'invert': False}
BYTE_LEVEL = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': False}


def pre_tokenized(*steps):
  return lambda content: content.update(pre_tokenizer={'type': 'Sequence', 'pretokenizers': list(steps)})


def normalized(*steps):
  return lambda content: content.update(normalizer=steps[0] if len(steps) == 1 else {'type': 'Sequence', 'normalizers': list(steps)})


def token_added(content, text, **switches):
  """Puts a token of its own into the file, as `Tokenizer.add_tokens` does."""
  names = ('single_word', 'lstrip', 'rstrip', 'normalized', 'special')
  content['added_tokens'].append({'id': VOCAB_SIZE, 'content': text, **dict.fromkeys(names, False), **switches})


CHANGES = {
  'normalizer NFC': normalized({'type': 'NFC'}),  # Qwen2 and Command-R
  'normalizer NFKC': normalized({'type': 'NFKC'}),
  'normalizer Lowercase': normalized({'type': 'Lowercase'}),
  'normalizer StripAccents': normalized({'type': 'NFC'}, {'type': 'StripAccents'}),
  "normalizer Replace (pattern={'String': 'zz'}, content='q')": normalized({'type': 'Replace', 'pattern': {'String': 'zz'}, 'content': 'q'}),
  'normalizer Strip': normalized({'type': 'Strip', 'strip_left': False, 'strip_right': True}),
  'normalizer Prepend': normalized({'type': 'Prepend', 'prepend': 'x'}),
  'normalizer BertNormalizer': normalized(
    {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': False, 'strip_accents': None, 'lowercase': False}
  ),
  'pre-tokenizer ByteLevel (add_prefix_space=True': pre_tokenized({**BYTE_LEVEL, 'add_prefix_space': True}),
  'pre-tokenizer Split (pattern': pre_tokenized({**SPLIT, 'pattern': {'String': '@'}, 'behavior': 'Removed'}, BYTE_LEVEL),
  'pre-tokenizer WhitespaceSplit': pre_tokenized({'type': 'WhitespaceSplit'}, BYTE_LEVEL),
  'pre-tokenizer Whitespace': pre_tokenized({'type': 'Whitespace'}, BYTE_LEVEL),
  'pre-tokenizer BertPreTokenizer': pre_tokenized({'type': 'BertPreTokenizer'}, BYTE_LEVEL),
  'pre-tokenizer Punctuation': pre_tokenized({'type': 'Punctuation', 'behavior': 'Removed'}, BYTE_LEVEL),
  'pre-tokenizer CharDelimiterSplit': pre_tokenized({'type': 'CharDelimiterSplit', 'delimiter': '@'}, BYTE_LEVEL),
  'pre-tokenizer UnicodeScripts': pre_tokenized({'type': 'UnicodeScripts'}, BYTE_LEVEL),  # loses text in tokenizers 0.23
  'pre-tokenizer Metaspace': pre_tokenized(
    {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}, BYTE_LEVEL
  ),
  "added token '<mask>' with lstrip": lambda content: token_added(content, '<mask>', lstrip=True),
  "added token '<mask>' with rstrip": lambda content: token_added(content, '<mask>', rstrip=True),
}


@pytest.mark.parametrize('says', CHANGES)
def test_a_file_that_changes_text_is_refused_by_its_component_unless_that_is_allowed(bpe, folder, tmp_path, says):
  path = edited(folder / 'tokenizer.json', tmp_path / 'lossy.json', CHANGES[says])
  with pytest.raises(UserError) as caught:
    load_tokenizer(path)
  assert says in str(caught.value) and 'lossy.json changes text' in str(caught.value)
  assert 'Data.allow_lossy_tokenizer' in str(caught.value) and '\n' not in str(caught.value)
  allowed = load_tokenizer(path, lossy=True)
  assert any(says in change for change in allowed.changes)
  assert pickle.loads(pickle.dumps(allowed)).changes == allowed.changes


NOT_BYTE_LEVEL = {
  'nothing in it is ByteLevel': lambda content: content.update(pre_tokenizer={'type': 'Whitespace'}),
  'lacks 1 of the 256 bytes, the first 0x00': lambda content: content['model']['vocab'].pop('\u0100'),
  'drops merges at random (dropout 0.1)': lambda content: content['model'].update(dropout=0.1),
  "has a end_of_word_suffix ('</w>')": lambda content: content['model'].update(end_of_word_suffix='</w>'),
  'its decoder is WordPiece': lambda content: content.update(decoder={'type': 'WordPiece', 'prefix': '##', 'cleanup': True}),
  'its model is WordLevel': lambda content: content.update(model={'type': 'WordLevel', 'vocab': {'a': 0}, 'unk_token': 'a'}),
}


@pytest.mark.parametrize('says', NOT_BYTE_LEVEL)
@pytest.mark.parametrize('lossy', [False, True])
def test_a_file_that_is_not_a_byte_level_bpe_is_always_refused(bpe, folder, tmp_path, says, lossy):
  path = edited(folder / 'tokenizer.json', tmp_path / 'other.json', NOT_BYTE_LEVEL[says])
  with pytest.raises(UserError) as caught:
    load_tokenizer(path, lossy=lossy)
  assert says in str(caught.value) and 'other.json is not a byte-level BPE' in str(caught.value)


def template(content):
  """Llama 3's post-processor, which puts BOS before a text that asks for special tokens."""
  single = [{'SpecialToken': {'id': '<bos>', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}]
  special = {'<bos>': {'id': '<bos>', 'ids': [1], 'tokens': ['<bos>']}}
  content['post_processor'] = {'type': 'TemplateProcessing', 'single': single, 'pair': single, 'special_tokens': special}
  content['model']['ignore_merges'] = True


KEEPS = {
  'gpt-2': lambda content: content.update(pre_tokenizer={**BYTE_LEVEL, 'use_regex': True}),
  'llama-3': template,
  'starcoder': pre_tokenized({'type': 'Digits', 'individual_digits': True}, {**BYTE_LEVEL, 'use_regex': True}),
  'qwen-2 without NFC': pre_tokenized(SPLIT, BYTE_LEVEL),
  'deepseek': pre_tokenized(SPLIT, {**SPLIT, 'behavior': 'MergedWithNext'}, {'type': 'Punctuation', 'behavior': 'Isolated'}, BYTE_LEVEL),
  'fixed lengths': pre_tokenized({'type': 'FixedLength', 'length': 5}, BYTE_LEVEL),
  'nothing to normalize': normalized({'type': 'Sequence', 'normalizers': []}),
  'bytes by the normalizer': lambda content: content.update(normalizer={'type': 'ByteLevel'}, pre_tokenizer=None),
  'added tokens': lambda content: token_added(content, '    ', normalized=True, single_word=False),
  'added words': lambda content: token_added(content, 'def', single_word=True),
  'no decoder': lambda content: content.update(decoder=None),
}


@pytest.mark.parametrize('shape', KEEPS)
def test_a_file_whose_components_keep_text_is_accepted_and_keeps_it(bpe, folder, tmp_path, shape):
  tokenizer = load_tokenizer(edited(folder / 'tokenizer.json', tmp_path / 'shape.json', KEEPS[shape]))
  assert tokenizer.changes == ()
  for text in (*PROSE[:3], *CODE[:3], ' x  e\u0301\u212b\n\t\u3000Y<eos> 123 def\ndefine', ''):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id} & set(ids)


def test_a_file_whose_merges_make_a_special_token_of_text_is_refused(bpe, folder, tmp_path):
  def forge(content):
    content['pre_tokenizer'] = BYTE_LEVEL
    content['model']['ignore_merges'] = True

  path = edited(folder / 'tokenizer.json', tmp_path / 'forging.json', forge)
  with pytest.raises(UserError, match=r"forging.json makes the special id 0 of the text '<pad>'"):
    load_tokenizer(path)


def test_a_file_with_two_entries_of_one_id_is_refused(bpe, folder, tmp_path):
  def double(content):
    content['model']['vocab']['zzzz'] = 100

  with pytest.raises(UserError, match='doubled.json gives the id 100 to two entries'):
    load_tokenizer(edited(folder / 'tokenizer.json', tmp_path / 'doubled.json', double))


def sentencepiece_model(path, **options):
  from sentencepiece import SentencePieceTrainer

  model = io.BytesIO()
  SentencePieceTrainer.train(
    sentence_iterator=iter(PROSE + CODE), model_writer=model, vocab_size=330, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    minloglevel=2, hard_vocab_limit=False, **options,
  )
  path.write_bytes(model.getvalue())
  return path


KEEPING = {'normalization_rule_name': 'identity', 'remove_extra_whitespaces': False, 'byte_fallback': True}


@pytest.mark.parametrize(('options', 'says'), [
  ({}, 'normalization_rule_name=nmt_nfkc.*remove_extra_whitespaces=true.*byte_fallback=false'),
  ({**KEEPING, 'remove_extra_whitespaces': True}, 'changes text: remove_extra_whitespaces=true'),
  ({**KEEPING, 'normalization_rule_name': 'nfkc'}, 'changes text: normalization_rule_name=nfkc'),
  ({**KEEPING, 'byte_fallback': False}, 'changes text: byte_fallback=false'),
  ({**KEEPING, 'treat_whitespace_as_suffix': True}, 'changes text: treat_whitespace_as_suffix=true'),
])
def test_a_sentencepiece_model_that_changes_text_is_refused_unless_that_is_allowed(tmp_path, options, says):
  path = sentencepiece_model(tmp_path / 'default.model', **options)
  with pytest.raises(UserError, match=f'{says}.*Data.allow_lossy_tokenizer'):
    load_tokenizer(path)
  allowed = load_tokenizer(path, lossy=True)
  assert allowed.changes
  text = 'def f(x):\n    if  x: return "\ufb01"\n'
  assert allowed.decode(allowed.encode(text)) != text


def test_a_sentencepiece_model_with_the_settings_of_llama_2_keeps_the_layout_of_code(tmp_path):
  tokenizer = load_tokenizer(sentencepiece_model(tmp_path / 'llama.model', **KEEPING))
  for text in (*CODE[:3], 'def f(x):\n    if  x:\n\treturn "\ufb01\u3000e\u0301"\r\n', '  a  ', '\n', ''):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_truncation_and_padding_in_the_file_are_not_applied(bpe, folder, tmp_path):
  def shorten(content):
    content['truncation'] = {
      'max_length': 4, 'strategy': 'LongestFirst', 'stride': 0, 'direction': 'Right'
    }
    content['padding'] = {
      'strategy': {'Fixed': 600}, 'direction': 'Right', 'pad_to_multiple_of': None,
      'pad_id': 0, 'pad_type_id': 0, 'pad_token': '<pad>',
    }

  path = edited(folder / 'tokenizer.json', tmp_path / 'short.json', shorten)
  assert load_tokenizer(path).encode(CODE[0]) == bpe.encode(CODE[0])


def test_a_sentencepiece_model_without_padding_is_refused(tmp_path):
  from sentencepiece import SentencePieceTrainer

  model = io.BytesIO()
  SentencePieceTrainer.train(
    sentence_iterator=iter(PROSE), model_writer=model, vocab_size=60, minloglevel=2,
    hard_vocab_limit=False,
  )
  (tmp_path / 'unpadded.model').write_bytes(model.getvalue())
  with pytest.raises(UserError, match='unpadded.model has no id for padding.*--pad_id=0'):
    load_tokenizer(tmp_path / 'unpadded.model')


def test_a_vocabulary_too_small_for_the_bytes_is_refused_before_reading_texts(tmp_path):
  def texts():
    raise AssertionError('the texts were read')
    yield

  with pytest.raises(UserError, match='vocab_size=258 is too small.*need 259'):
    train_bpe(texts(), 258, tmp_path / 'tokenizer.json')


def test_too_little_text_says_how_many_entries_it_gives(tmp_path):
  with pytest.raises(UserError, match='give 261 entries.*739 more.*vocab_size=261'):
    train_bpe(['abc abc'], 1000, tmp_path / 'tokenizer.json')
  assert not list(tmp_path.iterdir())
  assert train_bpe(['abc abc'], 261, tmp_path / 'tokenizer.json').vocab_size == 261


def test_a_bpe_file_must_be_named_json(tmp_path):
  with pytest.raises(UserError, match=r"rename '.*vocabulary.model' to 'vocabulary.json'"):
    train_bpe(PROSE, 300, tmp_path / 'vocabulary.model')
