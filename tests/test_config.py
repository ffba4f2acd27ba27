"""Which of several bindings counts, and where a gin file is looked for."""

from __future__ import annotations

import re

import pytest

from codemix import config
from codemix.config.places import PLACES, value_of
from codemix.errors import UserError


@pytest.fixture
def write(tmp_path):
  def write(name: str, text: str) -> str:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)

  return write


def test_a_later_file_wins_and_a_flag_wins_over_both(write):
  first = write('first.gin', 'Runtime.keep = 3\nRuntime.save_every = 30\nRuntime.prefetch = 30\n')
  second = write('second.gin', 'Runtime.save_every = 40\nRuntime.prefetch = 40\n')
  config.parse([first, second], ['Runtime.prefetch=50'])
  runtime = config.build('Runtime')
  assert (runtime.keep, runtime.save_every, runtime.prefetch) == (3, 40, 50)


def test_nothing_of_an_earlier_configuration_is_left(write):
  config.parse([write('first.gin', 'Runtime.keep = 3\n')], [])
  config.parse([], ['Runtime.save_every=7'])
  assert config.build('Runtime').keep == 2


def test_a_search_path_comes_before_the_files_of_codemix(write, tmp_path):
  assert (config.gin_directory() / 'models' / 'tiny.gin').is_file()
  write('mine/models/tiny.gin', "ModelConfig.layers = 99\ninclude 'more.gin'\n")
  write('mine/more.gin', 'ModelConfig.heads = 98\n')
  config.parse(['models/tiny.gin'], [], [str(tmp_path / 'mine')])
  sizes = dict.fromkeys(('vocab_size', 'width', 'ffn_width', 'head_dim'), 98)
  model = config.build('ModelConfig', **sizes)
  assert (model.layers, model.heads) == (99, 98)


def test_an_include_that_is_not_there_is_named_with_its_place(write):
  path = write('a.gin', "\ninclude 'models/tinny.gin'\n")
  with pytest.raises(UserError) as refused:
    config.parse([path], [])
  assert 'models/tinny.gin' in str(refused.value)
  assert '\n' not in str(refused.value)


def test_a_value_that_its_constructor_refuses_is_one_line(write):
  config.parse([write('a.gin', 'Runtime.save_every = 0\n')], [])
  with pytest.raises(UserError, match='Runtime.save_every is 0') as refused:
    config.build('Runtime')
  assert '\n' not in str(refused.value)


def test_a_flag_for_what_is_not_built_is_refused():
  config.parse([], ['Recipe.seed=1'])
  config.build('Runtime')
  with pytest.raises(UserError, match="--gin.Recipe.seed has no effect: this run builds no 'Recipe'"):
    config.check_used()


@pytest.mark.parametrize(
  ('asked', 'told'),
  [
    ('balanced_to_txt.gin', " Did you mean 'recipes/balanced_to_text.gin'?"),
    ('studies/quikstart', " Did you mean 'studies/quickstart.gin'?"),
    ('nowhere/else.gin', ''),  # like the shipped ones in its ending alone
  ],
)
def test_a_file_that_is_not_there_is_told_with_the_shipped_one_that_its_name_is_like(asked, told):
  with pytest.raises(UserError) as refused:
    config.parse([asked], [])
  assert str(refused.value).partition(f'{config.gin_directory()}.')[2] == told


def test_a_key_that_a_dictionary_has_twice_is_refused_with_its_line(write):
  path = write('a.gin', "Runtime.keep = 3\nTEXT = {\n    'a': (0.5, {'wiki': 1}),\n    'b': (0.5, {'wiki': 1}),\n    'a': 0.5,\n}\n")
  with pytest.raises(UserError, match=r"a\.gin, line 5: a dictionary has the key 'a' twice"):
    config.parse([path], [])
  with pytest.raises(UserError, match="--gin.CODE: a dictionary has the key 'a' twice"):
    config.parse([], ["CODE={'a': 0.2, 'b': 0.3, 'a': 0.5}"])


def test_one_key_in_each_of_two_dictionaries_is_no_repetition(write):
  config.parse([write('a.gin', "TEXT = {'a': (0.5, {'wiki': 1, 'a': 0}), 'b': (0.5, {'wiki': 1})}\n")], [])


@pytest.mark.parametrize(
  ('binding', 'told'),
  [
    ('Study.name=mine', "write a string in quotes, as in 'mine'"),
    ('Runtime.output=runs/new', "write a string in quotes, as in 'runs/new'"),
    ('Runtime.keep=2**3', 'gin computes nothing, so write the result'),
    ('Runtime.keep=128 * 8', 'gin computes nothing, so write the result'),
    ('PEAK=nan', 'numbers are finite'),
    ('TOKENS=inf', 'numbers are finite'),
  ],
)
def test_a_value_that_does_not_parse_is_told_with_what_to_write(binding, told):
  with pytest.raises(UserError, match=re.escape(told)):
    config.parse([], [binding])


@pytest.mark.parametrize(
  ('binding', 'told'),
  [
    ('MeshConfig.data=2', 'nothing refers to @MeshConfig(). Bind Runtime.mesh = @MeshConfig().'),
    ('x/MeshConfig.data=2', 'nothing refers to @MeshConfig(). Bind Runtime.mesh = @x/MeshConfig().'),
    ('save_everyy=2', "this run builds no 'save_everyy'."),
  ],
)
def test_a_flag_without_effect_is_told_with_the_reference_that_is_missing(binding, told):
  config.parse([], [binding])
  config.build('Runtime')
  with pytest.raises(UserError, match=re.escape(told)):
    config.check_used()


def test_a_macro_in_other_letters_is_told_with_the_one_that_is_meant(write):
  config.parse([write('a.gin', 'SAVE_EVERY = 7\nRuntime.save_every = %SAVE_EVERY\n')], ['Save_Every=9'])
  config.build('Runtime')
  with pytest.raises(UserError, match="Did you mean 'SAVE_EVERY'"):
    config.check_used()


@pytest.mark.parametrize('name', ['studies/quickstart.gin', 'studies/kinds.gin', 'recipes/cogs.gin'])
def test_one_file_has_every_binding_in_its_order(write, name):
  bound = lambda: {key: repr(value_of(key)) for key in PLACES}
  config.parse([name], ["Runtime.output='here'", "first/Stage.mixture={'text': 0.5, 'code': 0.5}"])
  before, text = bound(), config.one_file()
  assert "first/Stage.mixture = {'text': 0.5, 'code': 0.5}" in text  # gin sorts them
  config.parse([write('one.gin', text)], [])
  assert bound() == before and config.one_file() == text


def test_one_file_imports_what_its_bindings_need(write, tmp_path, monkeypatch):
  write('own_parts_of_a_test.py', 'import gin\n\n\n@gin.configurable\ndef own_part(size=1):\n  return size\n')
  monkeypatch.syspath_prepend(str(tmp_path))
  config.parse([write('first.gin', 'import own_parts_of_a_test\nown_part.size = 3\n')], [])
  assert config.one_file() == 'import own_parts_of_a_test\nown_part.size = 3\n'
