"""`codemix export` leaves a whole, verified folder, or nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.data.tokenization.text_bytes import byte_alphabet
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.huggingface import export as exporting
from codemix.huggingface.export import Export, export_stage, host_params
from codemix.huggingface.importing import import_model
from codemix.huggingface.tokenizer_export import byte_components
from codemix.huggingface.verify import TEXTS
from codemix.huggingface.weights import open_weights
from tests import tiny_study
from tests.huggingface.stages import config_of, random_params, train_sentencepiece, write_stage
from tests.in_process import use_one_device


@pytest.fixture(scope='module')
def stage(tmp_path_factory) -> Path:
  config = config_of('cohere', layers=1)
  return write_stage(tmp_path_factory.mktemp('run'), config, random_params(config))


def backend(folder: Path):
  from tokenizers import Tokenizer

  found = Tokenizer.from_file(str(folder / 'tokenizer.json'))
  found.encode_special_tokens = json.loads((folder / 'tokenizer_config.json').read_text())['split_special_tokens']
  return found


def test_a_folder_has_what_transformers_reads(stage, tmp_path, capsys):
  out = tmp_path / 'out'
  assert cli.main(['export', str(stage), str(out)]) == 0
  assert sorted(path.name for path in out.iterdir()) == [
    'README.md', 'config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json',
  ]  # fmt: skip
  assert json.loads((out / 'generation_config.json').read_text()) == {'pad_token_id': 0, 'bos_token_id': 1, 'eos_token_id': 2}
  config = json.loads((out / 'config.json').read_text())
  assert (config['logit_scale'], config['rope_theta'], config['max_position_embeddings'], config['torch_dtype']) == (1.0, 1e4, 32, 'float32')
  assert 'CohereForCausalLM, float32; verified by' in capsys.readouterr().out
  assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_what_was_verified_is_printed_as_json(stage, tmp_path, capsys):
  assert cli.main(['export', str(stage), str(tmp_path / 'out'), '--dtype=bfloat16', '--shard_size=10KB', '--format=json']) == 0
  told = json.loads(capsys.readouterr().out)
  assert told['class'] == 'CohereForCausalLM'
  assert told['verified']['tokens'] == 32
  assert told['verified']['difference'] < 1e-5
  weights = open_weights(tmp_path / 'out')
  assert set(weights.dtypes.values()) == {'bfloat16'}
  assert len(set(weights.files.values())) > 1


def test_a_stage_that_was_trained_comes_back_bitwise(tmp_path, monkeypatch):
  use_one_device(monkeypatch)
  study = tiny_study.study(run=tiny_study.recipe(tiny_study.stage('first', {'text': 1.0}, 3)))
  codemix.run_study(study, tiny_study.prepare(tmp_path / 'data'), tiny_study.runtime(tmp_path / 'run'))
  (folder,) = (tmp_path / 'run' / 'stages').iterdir()
  _, verified = export_stage(folder, tmp_path / 'out')
  assert verified.difference < 1e-12
  import_model(tmp_path / 'out', tmp_path / 'back')
  before, after = (host_params(codemix.load_stage(path)) for path in (folder, tmp_path / 'back'))
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, after)))


def test_a_failed_verification_leaves_nothing_and_the_earlier_export(stage, tmp_path, monkeypatch):
  out = tmp_path / 'out'
  export_stage(stage, out)
  before = {path.name: path.read_bytes() for path in out.iterdir()}
  to_tensors = exporting.to_tensors
  monkeypatch.setattr(exporting, 'to_tensors', lambda *of: ((name, 1.02 * value) for name, value in to_tensors(*of)))
  for target, how in ((tmp_path / 'other', Export()), (out, Export(overwrite=True))):
    with pytest.raises(UserError, match='the export was removed: its logits, computed by'):
      export_stage(stage, target, how)
  assert [path.name for path in tmp_path.iterdir()] == ['out']
  assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_other_ids_of_a_text_fail_the_verification(stage, tmp_path, monkeypatch):
  def without_bos(*arguments):
    files = tokenizer_files(*arguments)
    files['tokenizer.json']['post_processor'] = None
    return files

  tokenizer_files = exporting.tokenizer_files
  monkeypatch.setattr(exporting, 'tokenizer_files', without_bos)
  with pytest.raises(UserError, match='gives other ids than codemix to the text'):
    export_stage(stage, tmp_path / 'out')
  assert not list(tmp_path.iterdir())


def test_an_interrupted_export_leaves_nothing(stage, tmp_path, monkeypatch):
  def interrupted(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(exporting, 'verify', interrupted)
  assert cli.main(['export', str(stage), str(tmp_path / 'out')]) == 130
  assert not list(tmp_path.iterdir())


def make_file(out: Path):
  out.write_text('mine')


def make_other_folder(out: Path):
  out.mkdir()
  (out / 'thesis.tex').write_text('mine')


def make_export(out: Path):
  out.mkdir()
  (out / 'config.json').write_text('{}')


@pytest.mark.parametrize(
  ('there', 'flags', 'said'),
  [
    (make_file, ['--overwrite'], 'exists and is not a folder'),
    (make_other_folder, [], 'exists: name another folder, or write --overwrite'),
    (make_other_folder, ['--overwrite'], 'has no config.json, so it is not an earlier result'),
    (make_export, [], 'exists: name another folder, or write --overwrite'),
  ],
)
def test_what_is_there_is_kept(stage, tmp_path, there, flags, said, capsys):
  there(tmp_path / 'out')
  before = sorted(tmp_path.rglob('*'))
  assert cli.main(['export', str(stage), str(tmp_path / 'out'), *flags]) == 2
  assert said in capsys.readouterr().err
  assert sorted(tmp_path.rglob('*')) == before


def test_an_empty_folder_and_an_earlier_export_are_replaced(stage, tmp_path):
  (tmp_path / 'out').mkdir()
  export_stage(stage, tmp_path / 'out')
  (tmp_path / 'out' / 'old').write_text('old')
  export_stage(stage, tmp_path / 'out', Export(overwrite=True))
  assert not (tmp_path / 'out' / 'old').exists()


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (['nowhere', 'out'], 'is not a stage'),
    (['{stage}', '{stage}/out'], 'lies inside the stage'),
    (['{stage}', 'out', '--shard_size=many'], "--shard_size is 'many'"),
    (['{stage}', 'out', '--shard_size=0'], "--shard_size is '0'"),
    (['{stage}', 'out', '--dtype=float8'], 'float8'),
    (['{stage}', 'out', '--verify_with=/nowhere/python'], 'cannot be run'),
    (['{stage}', '..'], 'cannot be the result'),
    (['{stage}'], 'OUT'),
  ],
)
def test_a_mistake_is_one_line(stage, tmp_path, words, said, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert cli.main(['export', *(word.format(stage=stage) for word in words)]) == 2
  err = capsys.readouterr().err
  assert said in err
  assert err.count('\n') == 1
  assert not list(tmp_path.iterdir())


def test_a_python_without_transformers_is_named(stage, tmp_path, capsys):
  if exporting.verify.__globals__['peer'].is_here():
    pytest.skip('this Python has transformers')
  assert cli.main(['export', str(stage), str(tmp_path / 'out'), f'--verify_with={sys.executable}']) == 2
  assert "could not load the export, which was removed: ModuleNotFoundError: No module named" in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('settings', [{'block': 'serial'}, {'norm': 'rmsnorm'}], ids=str)
def test_a_stage_that_no_class_holds_is_refused(tmp_path, settings, capsys):
  config = config_of('cohere', layers=1, **settings)
  folder = write_stage(tmp_path / 'run', config, random_params(config))
  assert cli.main(['export', str(folder), str(tmp_path / 'out')]) == 2
  assert 'no class of transformers has' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_the_tokenizer_of_bytes_is_a_bpe_without_merges(stage, tmp_path):
  export_stage(stage, tmp_path / 'out')
  tokenizer = load_tokenizer('bytes')
  for text in TEXTS:
    assert backend(tmp_path / 'out').encode(text).ids == [1, *tokenizer.encode(text)]
  assert sorted(byte_components()['model']['vocab'].values()) == list(range(tokenizer.vocab_size))
  assert byte_components()['model']['vocab'].keys() >= byte_alphabet().keys()


def test_a_bpe_keeps_its_ids_with_bos_before_and_no_eos_behind(bpe, tmp_path):
  config = config_of('cohere', layers=1, vocab_size=300)
  folder = write_stage(tmp_path / 'run', config, random_params(config), bpe)
  export_stage(folder, tmp_path / 'out')
  tokenizer = load_tokenizer(bpe)
  for text in (*TEXTS, *(text.decode() for text in tiny_study.documents('code', 40, 20, 1))):
    found = backend(tmp_path / 'out').encode(text).ids
    assert found == [tokenizer.bos_id, *tokenizer.encode(text)]
    assert backend(tmp_path / 'out').decode(found) == text


@pytest.mark.parametrize('settings', [{}, {'add_dummy_prefix': False}], ids=str)
def test_a_sentencepiece_model_of_merges_keeps_its_ids(tmp_path, settings):
  config = config_of('cohere', layers=1, vocab_size=train_sentencepiece(tmp_path / 'tokenizer.model', **settings))
  folder = write_stage(tmp_path / 'run', config, random_params(config), tmp_path / 'tokenizer.model')
  export_stage(folder, tmp_path / 'out')
  tokenizer = load_tokenizer(tmp_path / 'tokenizer.model')
  for text in (*TEXTS, 'aabababa abab', '', *(text.decode() for text in tiny_study.documents('code', 40, 20, 1))):
    found = backend(tmp_path / 'out').encode(text).ids
    assert found == [tokenizer.bos_id, *tokenizer.encode(text)]
    assert backend(tmp_path / 'out').decode(found) == tokenizer.decode(found)


@pytest.mark.parametrize(
  ('settings', 'said'),
  [
    ({'model_type': 'unigram'}, 'its type is unigram, not bpe'),
    ({'user_defined_symbols': ['def']}, 'it has user-defined or unused pieces'),
    ({'byte_fallback': False}, 'it has no pieces for bytes'),
    ({'normalization_rule_name': 'nfkc'}, 'it replaces characters'),
    ({'remove_extra_whitespaces': True}, 'it removes white space'),
  ],
  ids=lambda value: str(value)[:40],
)
def test_a_sentencepiece_model_that_does_more_is_refused_unless_the_model_is_enough(tmp_path, settings, said, capsys):
  config = config_of('cohere', layers=1, vocab_size=train_sentencepiece(tmp_path / 'tokenizer.model', **settings))
  folder = write_stage(tmp_path / 'run', config, random_params(config), tmp_path / 'tokenizer.model', lossy=True)
  assert cli.main(['export', str(folder), str(tmp_path / 'out')]) == 2
  assert said in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()
  assert cli.main(['export', str(folder), str(tmp_path / 'out'), '--without_tokenizer']) == 0
  assert not (tmp_path / 'out' / 'tokenizer.json').exists()
