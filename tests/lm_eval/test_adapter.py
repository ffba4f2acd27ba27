"""The model 'codemix' answers lm-evaluation-harness as the harness's own models do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('lm_eval', reason="lm-evaluation-harness is not installed: it is codemix's extra lm_eval")

from lm_eval.api.model import CacheHook
from lm_eval.api.registry import get_model
from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from codemix.errors import UserError
from codemix.evaluation.continuations import score_tokens, tokenized
from codemix.evaluation.tasks.passages import rejoined
from codemix.lm_eval import CodemixLM, __main__, adapter
from codemix.lm_eval.settings import decoding
from codemix.models.decoding import Completion, Decoding
from codemix.studies.load_stage import load_stage
from tests.huggingface.stages import config_of, random_params, write_stage
from tests.in_process import one_device_mesh

LENGTH = 40
PAIRS = [('def f(x):', ' return x'), ('def f(x):', ' pass'), ('', 'text'), ('a ', 'b'), ('long ' * 20, 'enough'), ('\n', 'line')]
TEXTS = ['short', 'a text of more tokens than the model is long, by far: ' * 3, 'x' * LENGTH, '']


@pytest.fixture(scope='module')
def stage(tmp_path_factory) -> Path:
  config = config_of('cohere')
  return write_stage(tmp_path_factory.mktemp('stage'), config, random_params(config), length=LENGTH)


@pytest.fixture(scope='module')
def model(stage):
  return load_stage(stage).model(one_device_mesh(), batch=2)


@pytest.fixture
def adapted(model) -> CodemixLM:
  return CodemixLM.of(model)


def asked(*arguments):
  return [SimpleNamespace(args=each) for each in arguments]


class Kept(CacheHook):
  """What the harness's cache was given."""

  def __init__(self):
    super().__init__(None)
    self.kept = []

  def add_partial(self, attr, req, res):
    self.kept.append((attr, tuple(req), res))


def test_it_is_registered_and_opens_a_stage_by_its_folder(stage):
  opened = get_model('codemix').create_from_arg_string(f'checkpoint={stage},dtype=float32', {'batch_size': 1, 'device': None})
  assert isinstance(opened, CodemixLM)
  assert (opened.max_length, opened.batch_size, opened.model.config.dtype) == (LENGTH, 8, 'float32')  # 8 devices
  assert opened.model.params['embedding'].shape[0] == 259


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('', 'write checkpoint=FOLDER'),
    ('chekpoint=here', "chekpoint is not an argument of codemix; it has checkpoint, batch, dtype. Did you mean 'checkpoint'?"),
    ('checkpoint={stage},dtype=float16', 'dtype=float16 is not one of bfloat16, float32'),
    ('checkpoint={stage},batch=0', 'batch=0 is not a number of rows of at least 1'),
    ('checkpoint={stage},batch=many', 'batch=many is not a number of rows'),
    ('checkpoint=nowhere', 'nowhere'),
  ],
)
def test_wrong_arguments_are_named(stage, arguments, message):
  with pytest.raises(UserError) as raised:
    CodemixLM.create_from_arg_string(arguments.format(stage=stage))
  assert message in str(raised.value)


def test_log_likelihoods_are_those_of_the_model_and_reach_the_cache(adapted, model):
  adapted.set_cache_hook(hook := Kept())
  found = adapted.loglikelihood(asked(*PAIRS), disable_tqdm=True)
  short = [n for n, pair in enumerate(PAIRS) if len(''.join(pair)) <= LENGTH]
  scores = model.score([PAIRS[n] for n in short])
  np.testing.assert_allclose([found[n][0] for n in short], -scores.nats, rtol=1e-5)
  assert [found[n][1] for n in short] == scores.greedy.tolist()
  assert hook.kept == [('loglikelihood', pair, answer) for pair, answer in zip(PAIRS, found, strict=True)]


def test_what_exceeds_the_model_is_cut_from_the_left_bos_too(adapted, model):
  [(nats, _)] = adapted.loglikelihood(asked(PAIRS[4]), disable_tqdm=True)
  [(context, ids)] = tokenized(model.tokenizer, [PAIRS[4]])
  whole = [model.tokenizer.bos_id, *context, *ids][-(LENGTH + 1) :]
  alone = score_tokens(model, [(tuple(whole[: -len(ids)]), tuple(ids))])
  assert nats == pytest.approx(-alone.nats[0], rel=1e-5)
  assert whole[0] != model.tokenizer.bos_id


def test_texts_are_scored_in_the_windows_of_the_harness(adapted, model):
  adapted.set_cache_hook(hook := Kept())
  found = adapted.loglikelihood_rolling(asked(*((text,) for text in TEXTS)), disable_tqdm=True)
  for text, nats in zip(TEXTS, found, strict=True):
    windows = get_rolling_token_windows(model.tokenizer.encode(text), model.tokenizer.bos_id, LENGTH, 1)
    pairs = [(tuple(context), tuple(ids)) for context, ids in map(make_disjoint_window, windows)]
    assert sum(len(ids) for _, ids in pairs) == len(text)
    assert nats == pytest.approx(-score_tokens(model, pairs, packed=False).nats.sum(), rel=1e-5)
  assert hook.kept == [('loglikelihood_rolling', (text,), nats) for text, nats in zip(TEXTS, found, strict=True)]


def test_answers_reach_the_cache_portion_by_portion(adapted, monkeypatch):
  monkeypatch.setattr(adapter, 'PORTION', 2)
  whole = CodemixLM.of(adapted.model).loglikelihood(asked(*PAIRS), disable_tqdm=True)
  np.testing.assert_allclose([nats for nats, _ in adapted.loglikelihood(asked(*PAIRS), disable_tqdm=True)], [nats for nats, _ in whole], rtol=1e-5)


class Completing:
  """Completes each prompt with its key and the settings."""

  def __init__(self):
    self.asked = []

  def complete(self, prompts, keys, decoding, show=lambda done: None):
    self.asked.append((list(prompts), list(keys), decoding))
    show(len(prompts))
    return [[Completion(f'{prompt}|{decoding.max_new_tokens}', 3, 'stop')] for prompt in prompts]


def test_completions_of_equal_settings_are_made_together_and_come_back_in_order():
  adapted = CodemixLM.of(stub := Completing())
  adapted.set_cache_hook(hook := Kept())
  greedy, sampled = {'until': ['\n'], 'max_gen_toks': 5}, {'do_sample': True, 'temperature': 0.7, 'top_k': 9, 'top_p': 0.9, 'max_gen_toks': 6}
  requests = asked(('a', greedy), ('b', sampled), ('c', greedy), ('b', sampled))
  assert adapted.generate_until(requests, disable_tqdm=True) == ['a|5', 'b|6', 'c|5', 'b|6']
  assert [(prompts, settings) for prompts, _, settings in stub.asked] == [
    (['a', 'c'], Decoding(max_new_tokens=5, stop=('\n',))),
    (['b', 'b'], Decoding(max_new_tokens=6, temperature=0.7, top_k=9, top_p=0.9)),
  ]
  keys = [key for _, keys, _ in stub.asked for key in keys]
  assert len(set(keys)) == 4  # also of the context that was asked twice
  assert sorted(kept[1][0] for kept in hook.kept) == ['a', 'b', 'b', 'c']


@pytest.mark.parametrize(
  ('settings', 'wanted'),
  [
    ({}, Decoding(max_new_tokens=256)),
    ({'until': 'Q:', 'max_new_tokens': 9}, Decoding(max_new_tokens=9, stop=('Q:',))),
    ({'do_sample': False, 'temperature': 0.8}, Decoding(max_new_tokens=256)),
    ({'do_sample': True}, Decoding(max_new_tokens=256, temperature=1.0)),
    ({'temperature': 0.5}, Decoding(max_new_tokens=256, temperature=0.5)),
    ({'until': ['', 'x'], 'do_sample': False, 'temperature': 0.0}, Decoding(max_new_tokens=256, stop=('x',))),
  ],
)
def test_settings_of_the_harness_become_a_decoding(settings, wanted):
  assert decoding(settings) == wanted


@pytest.mark.parametrize(
  ('settings', 'message'), [({'num_beams': 4}, 'num_beams'), ({'top_pp': 0.5}, "Did you mean 'top_p'?"), ({'do_sample': True, 'top_p': 2}, 'top_p')]
)
def test_settings_that_codemix_has_not_are_refused_before_anything_is_generated(settings, message):
  stub = Completing()
  with pytest.raises(UserError) as raised:
    CodemixLM.of(stub).generate_until(asked(('a', {}), ('b', settings)), disable_tqdm=True)
  assert message in str(raised.value)
  assert not stub.asked


def test_mistakes_end_in_a_message_and_their_exit_code(monkeypatch, capsys):
  def mistaken():
    raise UserError('this is wrong.')

  monkeypatch.setattr(__main__, 'cli_evaluate', mistaken)
  with pytest.raises(SystemExit) as ended:
    __main__.main()
  assert (ended.value.code, capsys.readouterr().err) == (2, 'error: this is wrong.\n')


@pytest.mark.slow
def test_the_command_line_of_the_harness_runs_a_task_and_shows_mistakes(stage, tmp_path):
  rows = [{'q': 'one plus one is', 'a': ['two', 'three'], 'gold': 0}, {'q': 'a dog', 'a': ['reads', 'barks'], 'gold': 1}]
  (tmp_path / 'rows.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  (tmp_path / 'task.yaml').write_text(
    f'task: made_up\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path}/rows.jsonl\ntest_split: test\n'
    'output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{a}}"\ndoc_to_target: gold\nmetric_list:\n  - metric: acc\n'
  )
  ran = harness(tmp_path, f'checkpoint={stage}')
  assert ran.returncode == 0, ran.stderr
  assert 'made_up' in ran.stdout
  [written] = tmp_path.glob('out/**/results*.json')
  assert 0 <= json.loads(written.read_text())['results']['made_up']['acc,none'] <= 1
  wrong = harness(tmp_path, f'checkpoint={stage},batsh=3')
  assert wrong.returncode == 2
  assert wrong.stderr.splitlines()[-1].startswith('error: --model_args: batsh is not an argument') and 'Traceback' not in wrong.stderr


def harness(folder: Path, model_args: str) -> subprocess.CompletedProcess:
  words = ['--model', 'codemix', '--model_args', model_args, '--tasks', 'made_up', '--include_path', str(folder), '--output_path', str(folder / 'out')]
  environment = {'HOME': str(folder), 'HF_HUB_OFFLINE': '1', 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(Path(__file__).parents[2])}
  return subprocess.run([sys.executable, '-m', 'codemix.lm_eval', *words], capture_output=True, text=True, env=environment)


@given(st.lists(st.sampled_from([*(f' {each} ' for each in ['@-@', '@,@', '@.@', ':', ';', '.', '!', '?', ',', '°', 'N']), *'()[]{}"\'\n =x@', ' @x@ ', ' @ @ ', "s '", " 's", "/' 5/", '\\'])).map(''.join))
def test_wikitext_is_rejoined_as_by_the_harness(text):
  assert rejoined(text) == wikitext_detokenizer({'page': text})
