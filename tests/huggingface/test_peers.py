"""transformers 4 and 5 compute what codemix computes, from what either of them wrote.

`launch/peers.sh` makes the two environments; a test skips where one is absent.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.huggingface import export as exporting
from codemix.huggingface import peer
from codemix.huggingface.export import Export, export_stage, host_params
from codemix.huggingface.importing import import_model
from codemix.huggingface.tensors import Params
from codemix.huggingface.verify import TEXTS, decoder_logits
from codemix.models import decoder
from codemix.models.decoding import Decoding
from codemix.models.generate import generate
from tests import tiny_study
from tests.conftest import SHARED_DATA
from tests.huggingface.stages import FORMS, config_of, random_params, write_stage

ROOT = Path(__file__).resolve().parents[2]
MAJORS = ('4', '5')
TOKENS = 48  # of the rows that are compared
DOCUMENTS = 1000
CHARACTERS = 5000  # of each, at most
CORPORA = {'text/c4/train.jsonl.gz': 500, 'code/card2code/hearthstone.jsonl.gz': 300, 'markup/learnxinyminutes/docs.jsonl.gz': 200}
NEW_TOKENS = 64
VOCABULARY = 700

# What transformers makes: grouped queries, a head size of 6, an untied and a tied head, and tokenizers with a BOS and without.
COMMON = {'hidden_size': 24, 'intermediate_size': 40, 'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2, 'max_position_embeddings': 64}
END = {'eos_token': '<|endoftext|>'}
ALL = {'bos_token': '<BOS_TOKEN>', 'eos_token': '<END>', 'pad_token': '<PAD>'}
MADE = {
  'cohere': ('CohereForCausalLM', {'logit_scale': 0.0625, 'tie_word_embeddings': True}, ALL),
  'cohere_normed': ('CohereForCausalLM', {'use_qk_norm': True, 'tie_word_embeddings': False, 'layer_norm_eps': 1e-3}, END),
  'llama': ('LlamaForCausalLM', {'rms_norm_eps': 1e-3}, ALL),
  'qwen3': ('Qwen3ForCausalLM', {'head_dim': 10, 'tie_word_embeddings': True}, END),
}


@functools.cache
def documents() -> list[str]:
  """1,000 documents of text and code, of the corpora beside the project, else made up; and what is difficult."""
  corpora = {SHARED_DATA / 'corpora' / file: count for file, count in CORPORA.items()}
  if all(path.exists() for path in corpora):
    found = []
    for path, count in corpora.items():
      with gzip.open(path, 'rt', encoding='utf-8') as lines:
        found += [json.loads(line)['text'][:CHARACTERS] for line in itertools.islice(lines, count)]
  else:
    found = [text.decode() for name in ('text', 'code') for text in tiny_study.documents(name, 60, DOCUMENTS // 2, 3)]
  assert len(found) == DOCUMENTS
  return [*found, *TEXTS]


def rows(vocabulary: int, count: int = 2, length: int = TOKENS) -> list[list[int]]:
  return np.random.default_rng(5).integers(0, vocabulary, (count, length)).tolist()


def python_of(major: str) -> Path:
  """The Python of a peer; skips where there is none."""
  python = ROOT / '.venv-peers' / f'transformers{major}' / 'bin' / 'python'
  if not python.exists():
    pytest.skip(f'transformers {major} is not there: launch/peers.sh makes .venv-peers')
  return python


def ask(major: str, folder: Path, loads: dict, makes: dict) -> None:
  """Runs a job in one process of a peer."""
  python = python_of(major)
  folder.mkdir(exist_ok=True)
  job = folder / 'job.json'
  job.write_text(json.dumps({'peer': str(Path(peer.__file__).parent), 'out': str(folder), 'loads': loads, 'makes': makes}))
  environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')} | {'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': '1'}
  ran = subprocess.run([python, Path(__file__).with_name('peer_job.py'), job], env=environment, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr[-3000:]


class Exported(NamedTuple):
  config: codemix.ModelConfig
  params: Params
  folder: Path
  tokenizer: Tokenizer
  logits: list[tuple[np.ndarray, np.ndarray]]  # `of_codemix`


@pytest.fixture(scope='module')
def exported(tmp_path_factory) -> dict[str, Exported]:
  """Each form, written as a folder."""
  folder = tmp_path_factory.mktemp('exported')
  tokenizer = folder / 'tokenizer.json'
  train_bpe([text.encode() for text in documents()[::20]], VOCABULARY, tokenizer)
  found = {}
  for form in FORMS:
    config = config_of(form, vocab_size=VOCABULARY)
    params = random_params(config)
    out = folder / form.replace(' ', '_')
    export_stage(write_stage(folder / f'run_{out.name}', config, params, tokenizer, length=64), out, Export(shard_bytes=50_000))
    found[form] = Exported(config, params, out, load_tokenizer(tokenizer), of_codemix(config, params, rows(VOCABULARY)))
  return found


@pytest.fixture(scope='module', params=MAJORS)
def answers(request, exported, tmp_path_factory):
  """What one version of transformers computes from all exports, and what it made itself."""
  folder = tmp_path_factory.mktemp(f'transformers{request.param}')
  asked = {form.replace(' ', '_'): {'folder': str(of.folder), 'rows': rows(VOCABULARY)} for form, of in exported.items()}
  for name in ('cohere', 'llama'):
    asked[name] |= {'prompts': prompts(exported[name].tokenizer), 'new_tokens': NEW_TOKENS}
  asked['cohere']['texts'] = documents()
  made = {
    name: {'model': {'architecture': kind, 'settings': {**COMMON, **own}, 'special': special, 'texts': documents()[::40], 'seed': 0}, 'rows': rows(400), 'texts': documents()[::10]}
    for name, (kind, own, special) in MADE.items()
  }
  ask(request.param, folder, asked, {f'made_{name}': job for name, job in made.items()})
  return folder


def prompts(tokenizer) -> list[list[int]]:
  """Ids of prompts, with BOS, as transformers takes them."""
  return [[tokenizer.bos_id, *tokenizer.encode(text)] for text in ('def f(x):', 'The model reads', 'a')]


def loaded(folder: Path, name: str) -> dict[str, np.ndarray]:
  with np.load(folder / f'{name.replace(" ", "_")}.npz') as arrays:
    return dict(arrays)


def own_logits(config: codemix.ModelConfig, params, ids: list[int]) -> np.ndarray:
  """codemix's fast path in float32, [L, V]."""
  L = len(ids)
  batch = {'inputs': np.asarray([ids], np.int32), 'segment_ids': np.ones((1, L), np.int32), 'positions': np.arange(L, dtype=np.int32)[None]}
  return np.asarray(decoder.logits(config, params, decoder.hidden_states(config, params, batch)))[0]


def of_codemix(config: codemix.ModelConfig, params, asked: list[list[int]]) -> list[tuple[np.ndarray, np.ndarray]]:
  """The logits of each row in float64, by the definition, and in float32, by the fast path."""
  return [(decoder_logits(config, params, np.asarray(ids)), own_logits(config, params, ids)) for ids in asked]


def compare(found: dict[str, np.ndarray], of_codemix: list[tuple[np.ndarray, np.ndarray]], bound: float) -> None:
  """Both float32 computations against float64: the peer's is as close as codemix's own, up to `bound` of the largest logit."""
  for n, (exact, own) in enumerate(of_codemix):
    logits = found[f'logits{n}'], own
    theirs, ours = (np.abs(computed - exact).max() for computed in logits)
    apart, largest = np.abs(logits[0] - logits[1]).max(), np.abs(exact).max()
    print(f'from float64: theirs {theirs:.1e}, ours {ours:.1e}; apart {apart:.1e}; largest logit {largest:.1f}')
    assert ours <= bound * largest
    assert theirs <= max(4 * ours, 2e-6 * largest)


@pytest.mark.parametrize('form', FORMS)
def test_transformers_computes_the_logits_of_an_export(answers, exported, form):
  compare(loaded(answers, form), exported[form].logits, 2e-5)


def test_transformers_gives_the_same_ids_to_a_thousand_documents(answers, exported):
  found, tokenizer = loaded(answers, 'cohere'), exported['cohere'].tokenizer
  expected = [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_batch(documents())]
  assert found['sizes'].tolist() == [len(ids) for ids in expected]
  assert found['ids'].tolist() == list(itertools.chain(*expected))


@pytest.mark.parametrize('form', ['cohere', 'llama'])
def test_transformers_continues_greedily_with_the_same_tokens(answers, exported, form):
  config, params, _, tokenizer, _ = exported[form]
  given = prompts(tokenizer)
  found = generate(config, params, given, range(len(given)), Decoding(max_new_tokens=NEW_TOKENS), eos_id=tokenizer.eos_id)
  ours = [[id for id in completion.ids if id != tokenizer.eos_id] for [completion] in found]
  theirs = [loaded(answers, form)[f'greedy{n}'].tolist() for n in range(len(given))]
  assert [[id for id in ids if id != tokenizer.eos_id] for ids in theirs] == ours
  assert max(map(len, ours)) == NEW_TOKENS


@pytest.mark.parametrize('name', MADE)
def test_a_model_that_transformers_made_is_imported_with_its_tokenizer(answers, name, tmp_path):
  import_model(answers / f'made_{name}', tmp_path / 'imported')
  stage = codemix.load_stage(tmp_path / 'imported')
  found = loaded(answers, f'made_{name}')
  compare(found, of_codemix(stage.config, host_params(stage), rows(400)), 2e-5)
  ids = [ids for ids in stage.tokenizer.encode_batch(documents()[::10])]
  spelled = [n for n, text in enumerate(documents()[::10]) if '<' in text]  # transformers finds special tokens in text
  starts = np.cumsum([0, *found['sizes']])
  for n in range(len(ids)):
    assert n in spelled or found['ids'][starts[n] : starts[n + 1]].tolist() == ids[n]
  assert len(spelled) < len(ids) / 2


def test_what_transformers_made_comes_back_to_it_bitwise(answers, tmp_path):
  import_model(answers / 'made_llama', tmp_path / 'imported')
  export_stage(tmp_path / 'imported', tmp_path / 'again')
  import_model(tmp_path / 'again', tmp_path / 'back')
  before, after = (host_params(codemix.load_stage(tmp_path / name)) for name in ('imported', 'back'))
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, after)))


@pytest.mark.parametrize('major', [pytest.param('4', marks=pytest.mark.slow), '5'])
def test_an_export_is_verified_by_transformers_and_removed_if_it_differs(major, tmp_path, monkeypatch, capsys):
  config = config_of('llama', layers=1)
  stage = write_stage(tmp_path / 'run', config, random_params(config))
  words = ['export', str(stage), str(tmp_path / 'out'), '--dtype=bfloat16', f'--verify_with={python_of(major)}']
  assert cli.main(words) == 0
  assert f'verified by transformers {major}.' in capsys.readouterr().out
  write_config = exporting.write_config
  monkeypatch.setattr(exporting, 'write_config', lambda *of: {**write_config(*of), 'rms_norm_eps': 0.1})
  assert cli.main([*words, '--overwrite']) == 2
  assert 'the export was removed: its logits, computed by transformers' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('major', MAJORS)
@pytest.mark.parametrize('form', ['cohere', 'llama'])
def test_a_thousand_tokens_with_doubled_weights(major, form, tmp_path):
  config = config_of(form, vocab_size=512, layers=4, width=128, ffn_width=256, heads=8, kv_heads=4, head_dim=16)
  params = random_params(config, factor=2.0)
  export_stage(write_stage(tmp_path / 'run', config, params, length=1024), tmp_path / 'out')
  asked = rows(512, 1, 1024)
  ask(major, tmp_path / 'peer', {form: {'folder': str(tmp_path / 'out'), 'rows': asked}}, {})
  compare(loaded(tmp_path / 'peer', form), of_codemix(config, params, asked), 2e-3)
