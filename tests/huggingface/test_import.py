"""`codemix import` makes a finished stage of a folder of transformers, with the model's own tokenizer."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import codemix
from codemix import cli
from codemix.data.settings import Data, tokenizer_identity
from codemix.data.tokenization.text_bytes import byte_alphabet
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.huggingface.classes import class_of
from codemix.huggingface.export import SHARD_BYTES, Export, export_stage, host_params, write_model
from codemix.huggingface.importing import import_model
from codemix.huggingface.model_config import write_config
from codemix.models.decoder import abstract_params
from codemix.models.decoding import Decoding
from tests.huggingface.stages import (
  FORMS,
  config_of,
  random_params,
  train_sentencepiece,
  write_stage,
)
from tests.in_process import one_device_mesh


def foreign_tokenizer(*special: str, **changes) -> dict:
  """A byte-level BPE as public checkpoints have it: special tokens of its own names, behind the bytes."""
  vocabulary = {character: id for id, character in enumerate(sorted(byte_alphabet()))}
  vocabulary |= {'th': 256, 'the': 257}
  added = [
    {'id': 258 + n, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
    for n, content in enumerate(special)
  ]
  level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
  return {
    'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': added, 'normalizer': None,
    'pre_tokenizer': level, 'post_processor': None, 'decoder': level,
    'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'vocab': vocabulary, 'merges': [['t', 'h'], ['th', 'e']]},
  } | changes  # fmt: skip


def write_folder(folder: Path, tokenizer: dict, names: dict, form: str = 'llama', shard_bytes: int = SHARD_BYTES, **settings) -> Path:
  """A folder as transformers writes it; `names` is tokenizer_config.json."""
  config = config_of(form, **{'vocab_size': 272, 'layers': 1, **settings})
  kind = class_of(config)
  folder.mkdir()
  described = write_config(kind, config, 64, {}, 'float32')
  write_model(folder, kind, config, random_params(config), {'config.json': described, 'tokenizer.json': tokenizer, 'tokenizer_config.json': names}, Export(shard_bytes=shard_bytes))
  return folder


def change_json(path: Path, **fields):
  path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def folder(tmp_path) -> Path:
  return write_folder(tmp_path / 'public', foreign_tokenizer('<|endoftext|>'), {'eos_token': '<|endoftext|>'})


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'llama scaled'])
def test_an_export_comes_back_as_the_same_model(form, tmp_path):
  config = config_of(form, layers=1)
  params = random_params(config)
  export_stage(write_stage(tmp_path / 'run', config, params), tmp_path / 'out', Export(shard_bytes=10_000))
  import_model(tmp_path / 'out', tmp_path / 'back')
  stage = codemix.load_stage(tmp_path / 'back')
  assert (stage.config, stage.step, stage.name) == (config, 0, 'back')
  assert stage.tokenizer.digest == load_tokenizer('bytes').digest
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, host_params(stage), params)))


def test_an_import_is_a_finished_stage(folder, tmp_path, capsys):
  out = tmp_path / 'imported'
  assert cli.main(['import', str(folder), str(out), '--length=16']) == 0
  captured = capsys.readouterr()
  assert 'LlamaForCausalLM' in captured.out
  assert 'rows of 16 tokens, bpe tokenizer with 259 entries' in captured.out
  assert "the model has no BOS: its EOS, '<|endoftext|>' (id 258), is the input that begins a document." in captured.err
  stage = codemix.load_stage(out)
  assert stage.identity['length'] == 16
  assert stage.identity['imported']['files'].keys() == {'config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'}
  assert stage.tokenizer.bos_id == stage.tokenizer.eos_id == stage.tokenizer.pad_id == 258
  model = stage.model(one_device_mesh())
  assert jax.tree.map(np.shape, model.params) == jax.tree.map(np.shape, abstract_params(stage.config))
  [[completion]] = model.complete(['the'], None, Decoding(max_new_tokens=4))
  assert isinstance(completion.text, str)
  assert cli.main(['verify', str(out)]) == 0
  assert cli.main(['export', str(out), str(tmp_path / 'again')]) == 0
  assert json.loads((tmp_path / 'again' / 'tokenizer_config.json').read_text())['bos_token'] == '<|endoftext|>'
  (out / 'checkpoints' / '0' / 'added').write_text('')
  assert cli.main(['verify', str(out)]) == 2


def test_bfloat16_comes_back_as_float32_of_the_nearest_values(tmp_path):
  config = config_of('llama', layers=1)
  params = random_params(config)
  export_stage(write_stage(tmp_path / 'run', config, params), tmp_path / 'out', Export(dtype='bfloat16'))
  import_model(tmp_path / 'out', tmp_path / 'back')
  stage = codemix.load_stage(tmp_path / 'back')
  nearest = jax.tree.map(lambda a: a.astype(jax.numpy.bfloat16).astype(np.float32), params)
  assert stage.config.dtype == 'bfloat16'
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, host_params(stage), nearest)))


def test_the_same_files_have_the_same_identity_and_other_weights_another(folder, tmp_path):
  for out in ('a', 'b'):
    import_model(folder, tmp_path / out)
  weights = load_file(folder / 'model.safetensors')
  save_file({name: value + 1 for name, value in weights.items()}, folder / 'model.safetensors')
  import_model(folder, tmp_path / 'c')
  a, b, c = (json.loads((tmp_path / out / 'stage.json').read_text())['hash'] for out in 'abc')
  assert a == b != c


def test_an_import_that_differs_from_its_digest_is_refused(folder, tmp_path):
  import_model(folder, tmp_path / 'out')
  other = foreign_tokenizer('<|endoftext|>', '<|other|>')
  (tmp_path / 'out' / 'tokenizer.json').write_text(json.dumps({**other, 'codemix': {'pad_id': 258, 'bos_id': 258, 'eos_id': 258}}))
  with pytest.raises(UserError, match='with another tokenizer'):
    codemix.load_stage(tmp_path / 'out')


def test_the_tokenizer_opens_as_that_of_a_run(folder, tmp_path):
  import_model(folder, tmp_path / 'out')
  tokenizer = Data(tokenizer=str(tmp_path / 'out' / 'tokenizer.json')).load_tokenizer()
  text = 'the <|endoftext|> \x00 <eos>\r\n'
  assert tokenizer.decode(tokenizer.encode(text)) == text
  assert tokenizer.encode('the') == [257]
  assert tokenizer.eos_id not in tokenizer.encode(text)
  copy = pickle.loads(pickle.dumps(tokenizer))
  assert tokenizer_identity(copy) == tokenizer_identity(tokenizer) == codemix.load_stage(tmp_path / 'out').identity['tokenizer']
  assert (copy.bos_id, copy.eos_id, copy.pad_id) == (258, 258, 258)


@pytest.mark.parametrize(
  ('special', 'names', 'config', 'ids'),
  [
    (['<BOS>', '<END>', '<PAD>'], {'bos_token': '<BOS>', 'eos_token': {'content': '<END>'}, 'pad_token': '<PAD>'}, {}, (260, 258, 259)),
    (['<s>', '</s>'], {'bos_token': '<s>', 'eos_token': '</s>', 'pad_token': None}, {}, (259, 258, 259)),
    # The tokenizer's word before the model's, whose ends may be those of a chat.
    (['<end>', '<chat>'], {'eos_token': '<end>'}, {'eos_token_id': [259, 258]}, (258, 258, 258)),
    (['<s>', '</s>'], {}, {'bos_token_id': 258, 'eos_token_id': [259], 'pad_token_id': 258}, (258, 258, 259)),
  ],
)
def test_special_tokens_are_those_that_the_folder_names(special, names, config, ids, tmp_path):
  folder = write_folder(tmp_path / 'public', foreign_tokenizer(*special), names)
  change_json(folder / 'config.json', **config)
  tokenizer = import_model(folder, tmp_path / 'out').tokenizer.tokenizer
  assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == ids


def test_a_special_token_that_the_file_does_not_call_special_cannot_be_forged(tmp_path):
  tokenizer = foreign_tokenizer('<end>')
  tokenizer['added_tokens'][0]['special'] = False
  folder = write_folder(tmp_path / 'public', tokenizer, {'eos_token': '<end>'})
  found = import_model(folder, tmp_path / 'out').tokenizer.tokenizer
  assert found.eos_id not in found.encode('a <end> b')


def test_a_tokenizer_that_changes_text_is_imported_and_that_is_said(tmp_path):
  folder = write_folder(tmp_path / 'public', foreign_tokenizer('<end>', normalizer={'type': 'NFC'}), {'eos_token': '<end>'})
  found = import_model(folder, tmp_path / 'out')
  assert any('changes text: the normalizer NFC. Training on it needs Data.allow_lossy_tokenizer = True' in note for note in found.notes)
  assert codemix.load_stage(tmp_path / 'out').tokenizer.changes


def no_tokenizer(folder: Path):
  (folder / 'tokenizer.json').unlink()


def tokenizer_of(*special: str, **changes):
  return lambda folder: (folder / 'tokenizer.json').write_text(json.dumps(foreign_tokenizer(*special, **changes)))


def config(**fields):
  return lambda folder: change_json(folder / 'config.json', **fields)


def weights(change):
  def damage(folder: Path):
    state = load_file(folder / 'model.safetensors')
    change(state)
    save_file(state, folder / 'model.safetensors')

  return damage


@pytest.mark.parametrize(
  ('damage', 'said'),
  [
    (no_tokenizer, 'tokenizer.json does not exist: an imported model keeps its own tokenizer'),
    (tokenizer_of(), "has no added token '<|endoftext|>'"),
    (tokenizer_of('<|endoftext|>', *(f'<{n}>' for n in range(20))), 'the tokenizer has 279 ids and the model 272'),
    (tokenizer_of('<|endoftext|>', pre_tokenizer=None), 'is not a byte-level BPE'),
    (tokenizer_of('<|endoftext|>', model={'type': 'BPE', 'vocab': 3}), 'is not a tokenizer.json'),
    (lambda folder: (folder / 'tokenizer.json').write_text('{'), 'is damaged'),
    (lambda folder: (folder / 'tokenizer_config.json').write_text('{"eos_token": 3}'), 'is damaged'),
    (lambda folder: (folder / 'tokenizer_config.json').write_text('{}'), 'names no token that ends a document'),
    (lambda folder: (folder / 'config.json').unlink(), 'config.json does not exist'),
    (lambda folder: (folder / 'model.safetensors').unlink(), 'has no weights'),
    (config(num_hidden_layers=2), 'lacks model.layers.1.input_layernorm.weight'),
    (config(num_hidden_layers=10**7), 'num_hidden_layers = 10,000,000, and there are only 11 tensors'),
    (config(vocab_size=271), r'is \[272, 24\], and config.json describes \[271, 24\]'),
    (config(attention_bias=True), 'no biases in attention'),
    (config(tie_word_embeddings=False), 'lacks lm_head.weight'),
    (weights(lambda state: state.update({'model.layers.0.self_attn.q_proj.bias': np.ones(3, np.float32)})), 'has besides model.layers.0.self_attn.q_proj.bias'),
    (weights(lambda state: state.update({'lm_head.weight': 2 * state['model.embed_tokens.weight']})), 'lm_head.weight differs from'),
    (weights(lambda state: state['model.norm.weight'].fill(np.nan)), 'model.norm.weight has values that are not finite'),
  ],
)
def test_what_cannot_be_held_is_one_line_and_leaves_nothing(folder, tmp_path, damage, said, capsys):
  damage(folder)
  assert cli.main(['import', str(folder), str(tmp_path / 'out')]) == 2
  err = capsys.readouterr().err
  assert said.replace('\\', '') in err
  assert err.count('\n') == 1
  assert [path.name for path in tmp_path.iterdir()] == ['public']


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (['nowhere', 'out'], 'does not exist: download the model first'),
    (['public/config.json', 'out'], 'is a file: name the folder'),
    (['public', 'public'], 'exists: name another folder'),
    (['public', 'public', '--overwrite'], 'has no stage.json'),
    (['public', 'out', '--length=65'], '--length is 65: it must be from 1 to 64'),
    (['public', 'out', '--length=0'], '--length is 0'),
  ],
)
def test_a_mistake_is_one_line(folder, tmp_path, words, said, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert cli.main(['import', *words]) == 2
  err = capsys.readouterr().err
  assert said in err
  assert err.count('\n') == 1
  assert [path.name for path in tmp_path.iterdir()] == ['public']


def test_a_tied_head_that_is_stored_twice_and_old_buffers_are_no_surprise(folder, tmp_path):
  def twice(state):
    state['lm_head.weight'] = state['model.embed_tokens.weight'].copy()
    state['model.layers.0.self_attn.rotary_emb.inv_freq'] = np.ones(3, np.float32)

  weights(twice)(folder)
  import_model(folder, tmp_path / 'out')
  assert codemix.load_stage(tmp_path / 'out').config.tied


def sentencepiece_folder(tmp_path: Path, names: dict, **settings) -> Path:
  """As Llama 2 is given out: a tokenizer.model, and a tokenizer.json of characters that fall back to bytes."""
  model = {'type': 'BPE', 'vocab': {'<unk>': 0}, 'merges': [], 'byte_fallback': True}
  folder = write_folder(tmp_path / 'public', {'added_tokens': [], 'model': model}, names, vocab_size=448)
  train_sentencepiece(folder / 'tokenizer.model', **settings)
  return folder


@pytest.mark.parametrize(('settings', 'pad'), [({}, 0), ({'pad_id': -1, 'unk_id': 0}, 2)], ids=str)
def test_a_sentencepiece_model_is_the_tokenizer_where_there_is_one(tmp_path, settings, pad):
  folder = sentencepiece_folder(tmp_path, {'bos_token': '<s>', 'eos_token': '</s>'}, **settings)
  found = import_model(folder, tmp_path / 'out')
  stage = codemix.load_stage(tmp_path / 'out')
  assert (stage.tokenizer.kind, stage.tokenizer.pad_id, stage.tokenizer.bos_id, stage.tokenizer.eos_id) == ('sentencepiece', pad, 1, 2)
  assert any('no padding token' in note for note in found.notes) == (pad == 2)
  text = 'def return  x\n\u6f22\u5b57 </s>'
  assert stage.tokenizer.decode(stage.tokenizer.encode(text)) == text
  assert Data(tokenizer=str(tmp_path / 'out' / 'tokenizer.model')).load_tokenizer().digest == stage.tokenizer.digest
  export_stage(tmp_path / 'out', tmp_path / 'again')


def test_a_sentencepiece_model_of_other_special_tokens_is_refused(tmp_path):
  folder = sentencepiece_folder(tmp_path, {'eos_token': '<|im_end|>'})
  with pytest.raises(UserError, match="names '<|im_end|>' as its eos_token, and tokenizer.model has '</s>'"):
    import_model(folder, tmp_path / 'out')
  (folder / 'tokenizer_config.json').write_text('{}')
  (folder / 'tokenizer.model').write_bytes(b'no model')
  with pytest.raises(UserError, match='is not a SentencePiece model, or a damaged one'):
    import_model(folder, tmp_path / 'out')
