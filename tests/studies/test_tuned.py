"""studies/tuned.gin: arms of the initialization study end with a stage of instructions, and are compared before and after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import codemix
from codemix import cli, config
from codemix.storage import read_json
from tests import tiny_study
from tests.in_process import use_one_device

SHORT = Path(__file__).parents[1] / 'docs_workspace' / 'short.gin'
SOURCES = """
text/Corpus.files = {{'train': '{folder}/text-train.jsonl', 'validation': '{folder}/text-validation.jsonl'}}
text/Corpus.kind = 'text'
code/Corpus.files = {{'train': '{folder}/code-train.jsonl', 'validation': '{folder}/code-validation.jsonl'}}
code/Corpus.kind = 'code'
TEXT = {{'text': 1.0}}
CODE = {{'code': 1.0}}
Data.sources = (%INSTRUCTION_SOURCES, {{'text': @text/Corpus(), 'code': @code/Corpus()}})
Data.task_modules = ()
Data.tokenizer = 'bytes'
Study.validation = ('text', 'code', 'dolly_answers')
"""
ARMS = ('text_only', 'balanced_only', 'balanced_to_text', 'code_to_text')


def built(*files: str, bindings: tuple[str, ...] = ()):
  config.parse(list(files), list(bindings))
  return config.build('Study')


def test_its_arms_are_those_of_the_initialization_study_with_one_more_stage():
  tuned, plain = (built(f'studies/{name}.gin') for name in ('tuned', 'initialization'))
  assert list(tuned.recipes) == list(plain.recipes) == list(ARMS)
  for name, recipe in tuned.recipes.items():
    *before, instruct = recipe.stages
    assert tuple(before) == plain.recipes[name].stages and instruct.name == 'instruct'


def test_the_papers_sources_have_the_instructions():
  config.parse(['studies/tuned.gin', 'scales/470m.gin', 'sources/study.gin'], [])
  assert 'dolly_answers' in config.build('Data').corpora


@pytest.mark.slow
def test_it_trains_and_is_compared_after_the_instructions(tmp_path, monkeypatch):
  use_one_device(monkeypatch)
  for name in ('text', 'code'):
    lines = [json.dumps({'text': text.decode()}) + '\n' for text in tiny_study.documents(name, 40, 60, 0)]
    (tmp_path / f'{name}-train.jsonl').write_text(''.join(lines[:48]))
    (tmp_path / f'{name}-validation.jsonl').write_text(''.join(lines[48:]))
  (tmp_path / 'sources.gin').write_text(SOURCES.format(folder=tmp_path))
  rows = [{'instruction': f'Say {number}.', 'context': 'Numbers.' * (number % 3), 'response': f'It is {number}.'} for number in range(200)]
  (tmp_path / 'dolly').mkdir()
  (tmp_path / 'dolly' / 'dolly.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  bindings = {
    'INSTRUCTIONS_ROOT': str(tmp_path / 'dolly'), 'INSTRUCT_TOKENS': 4 * 16 * 32, 'dolly_answers/Corpus.validation_share': 0.1,
    'Data.directory': str(tmp_path / 'data'), 'Runtime.output': str(tmp_path / 'out'),
  }  # fmt: skip
  assert cli.main(['study', '--gin_file=studies/tuned.gin', f'--gin_file={SHORT}', f'--gin_file={tmp_path}/sources.gin', *(f'--gin.{name}={value!r}' for name, value in bindings.items())]) == 0
  results = codemix.results(tmp_path / 'out')
  last = results.changes[results.changes.stage == 'instruct']
  assert set(last.arm) == set(ARMS[1:]) and set(last.against) == {'text_only'} and last.same_tokens.all()
  assert set(last.metric) == {'held_out/text', 'held_out/code', 'held_out/dolly_answers'}
  assert set(last.groupby('arm').field_share.first().items()) == {('balanced_only', 0.5), ('balanced_to_text', 0.5), ('code_to_text', 1.0)}
  for ledger in (tmp_path / 'out').glob('stages/instruct-*/ledger.json'):
    [realised] = read_json(ledger)['realised']
    assert 0 < realised['loss_tokens'] < realised['tokens'] == 4 * 16 * 32
