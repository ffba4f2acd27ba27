"""The words of a command line: every --gin binding is one, in every verb, and a slip says what to write."""

from __future__ import annotations

import argparse
import importlib
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix import cli, config
from codemix.errors import UserError


def parser_of(verb: str) -> cli.Parser:
  parser = cli.Parser(prog=f'codemix {verb}', allow_abbrev=False)
  importlib.import_module(f'codemix.commands.{verb}').add_arguments(parser)
  return parser


WITH_GIN = [verb for verb in cli.VERBS if '--gin_file' in parser_of(verb)._option_string_actions]
# What some verbs cannot do without.
NEEDED = {'plan': ('--topology=v5e:4',), 'tokenizer': ('train',), 'bench': ('step',), 'launch': ('local',)}


def parsed(verb: str, *words: str) -> argparse.Namespace:
  return parser_of(verb).parse_args([*NEEDED.get(verb, ()), *words])


@pytest.mark.parametrize('verb', WITH_GIN)
@given(value=st.text(min_size=1).filter(str.strip))
def test_a_binding_is_a_binding_whatever_is_in_it(verb, value):
  assert parsed(verb, f'--gin.TEXT={value}').gin_bindings == [f'TEXT={value}']


@pytest.mark.parametrize('verb', WITH_GIN)
@pytest.mark.parametrize(
  ('words', 'bindings'),
  [
    (["--gin.X={'a': (0.7, %T)}"], ["X={'a': (0.7, %T)}"]),
    (['--gin.Recipe.seed', '1'], ['Recipe.seed=1']),
    (['--gin.Recipe.seed', '-1'], ['Recipe.seed=-1']),
    (['--gin_bindings=Recipe.seed = 1'], ['Recipe.seed = 1']),
    (['--gin_bindings', 'Recipe.seed = 1', '--gin.Stage.batch=2'], ['Recipe.seed = 1', 'Stage.batch=2']),
  ],
)
def test_a_binding_may_be_written_as_users_of_t5x_and_gin_do(verb, words, bindings):
  assert parsed(verb, *words, '--gin_file', 'a.gin', '--gin_file=b.gin').gin_bindings == bindings
  assert parsed(verb, '--gin_file', 'a.gin', *words, '--gin_file=b.gin').gin_file == ['a.gin', 'b.gin']


@pytest.mark.parametrize(('verb', 'words'), [('report', ()), ('generate', ('--stage=a', '--prompt=b'))])
def test_a_verb_that_reads_no_gin_refuses_a_binding(verb, words):
  with pytest.raises(UserError, match='--gin.Recipe.seed: this verb reads no gin'):
    parsed(verb, *words, '--gin.Recipe.seed=1')


def test_folders_beside_bindings_are_folders():
  assert parsed('verify', 'a', "--gin.X=b c", 'd').folder == ['a', 'd']


@pytest.mark.parametrize('verb', ['train', 'inspect', 'verify', 'study', 'prepare'])
@pytest.mark.parametrize(
  ('words', 'says'),
  [
    (['mine.gin'], 'write --gin_file=mine.gin'),
    (['--gin_file=a.gin', 'mine.gin'], 'write --gin_file=mine.gin'),
    (['-gin_file=mine.gin'], 'has one dash: write --gin_file=mine.gin'),
    (['-gin.Stage.batch=8'], 'has one dash: write --gin.Stage.batch=8'),
    (['--gin-file=a.gin'], "Did you mean '--gin_file'?"),
    (['--gin_fil=a.gin'], "Did you mean '--gin_file'?"),
    (['--gin_file'], 'expected one argument'),
    (['--gin.Recipe.seed'], '--gin.Recipe.seed lacks a value: write --gin.Recipe.seed=VALUE'),
    (['--gin.Recipe.seed='], 'lacks a value'),
    (['--gin.Recipe.seed', '--gin_file=a.gin'], 'lacks a value'),
    (['--gin.=1'], 'lacks a value: write --gin.NAME=VALUE'),
    (['--gin_bindings'], 'lacks a value'),
    (['--seed=1'], 'Write --gin.Recipe.seed=1'),
    (['--Stage.batch=8'], 'Write --gin.Stage.batch=8'),
    (['--save_every', '10'], 'Write --gin.Runtime.save_every=VALUE'),
  ],
)
def test_a_slip_says_what_to_write(verb, words, says):
  with pytest.raises(UserError) as refused:
    parsed(verb, *words)
  assert says in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize(
  ('word', 'says'),
  [('Stage.batch=8', 'write --gin.Stage.batch=8'), ('gin.Stage.batch=8', 'write --gin.Stage.batch=8'), ('--output=x', '"--gin.Runtime.output=\'x\'"')],
)
def test_a_binding_without_its_dashes_is_told(word, says):
  with pytest.raises(UserError) as refused:
    parsed('train', word)
  assert says in str(refused.value)


def test_a_folder_that_stands_alone_is_told_its_flag(tmp_path):
  with pytest.raises(UserError, match=f'write --output={tmp_path}'):
    parsed('report', str(tmp_path))

@pytest.mark.parametrize('words', [['help'], ['--help'], ['-h'], []])
def test_help_lists_the_verbs(words, capsys):
  assert cli.main(words) == 0
  assert 'usage: codemix VERB' in capsys.readouterr().out


def test_help_of_a_verb_is_its_own(capsys):
  assert cli.main(['help', 'train']) == 0
  assert capsys.readouterr().out.startswith('usage: codemix train')
  assert cli.main(['help', 'trian']) == 2
  assert "Did you mean 'train'?" in capsys.readouterr().err


def test_a_flag_before_the_verb_is_told_so(capsys):
  assert cli.main(['--gin_file=a.gin', 'train']) == 2
  assert 'the verb comes first: write codemix VERB --gin_file=a.gin' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('word', 'written'),
  [
    ('--seed=1', '--gin.Recipe.seed=1'),
    ('--save_every=x', '"--gin.Runtime.save_every=\'x\'"'),
    ("--prompts=('a', 'b')", '"--gin.Study.prompts=(\'a\', \'b\')"'),
    ('--compilation_cache=/tmp/c', '"--gin.Runtime.compilation_cache=\'/tmp/c\'"'),
  ],
)
def test_the_binding_that_is_told_for_a_foreign_flag_is_one_that_gin_reads(word, written):
  with pytest.raises(UserError) as refused:
    parsed('train', word)
  assert f'Write {written} to bind' in str(refused.value)
  binding = shlex.split(written)[0].removeprefix('--gin.')
  config.parse([], [binding])


@pytest.mark.parametrize('flag', ['--gin_file=studies/quickstart.gin', '--gin.Recipe.seed=1'])
@pytest.mark.parametrize('verb', ['inspect', 'verify'])
def test_a_folder_and_gin_are_two_questions(verb, flag, tmp_path, capsys):
  assert cli.main([verb, str(tmp_path), flag]) == 2
  assert 'give one of the two' in capsys.readouterr().err


def test_a_model_has_no_stages_to_choose_from(capsys):
  assert cli.main(['inspect', '--model', '--gin_file=models/tiny.gin', '--stage=text']) == 2
  assert '--stage=text' in capsys.readouterr().err


def test_a_file_that_offers_recipes_is_told_with_how_to_take_one(capsys):
  assert cli.main(['inspect', '--gin_file=recipes/arms.gin']) == 2
  assert "bind Study.recipes = {'text_only': @text_only/Recipe()}" in capsys.readouterr().err
