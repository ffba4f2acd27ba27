"""gin files as people write them: each mistake in one line with its file and line, and nothing misread."""

from __future__ import annotations

import re

import pytest

from codemix import cli, config
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from tests import tiny_study
from tests.studies.starts import write_without_arrays
from tests.test_docs import commands_of, require_taken

QUICKSTART = "include 'studies/quickstart.gin'\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
  """Writes a gin file into the working folder."""
  monkeypatch.chdir(tmp_path)

  def write(text: str | bytes, name: str = 'mine.gin') -> str:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name

  return write


def refusal(*files: str, build: str = '') -> str:
  with pytest.raises(UserError) as refused:
    config.parse(files, [])
    config.build(build or 'Study')
  assert '\n' not in str(refused.value)
  return str(refused.value)


def seed_of(file: str) -> int:
  assert config.parse([file], []) == []
  return {recipe.seed for recipe in config.build('Study').recipes.values()}.pop()


@pytest.mark.parametrize('form', ['bom', 'crlf', 'cr', 'tabs', 'no_newline', 'indented', 'block'])
def test_a_file_reads_the_same_however_an_editor_saved_it(write, form):
  text = f'{QUICKSTART}Recipe.seed = 7\n'
  forms = {
    'bom': b'\xef\xbb\xbf' + text.encode(),
    'crlf': text.replace('\n', '\r\n'),
    'cr': text.replace('\n', '\r'),
    'tabs': text.replace(' = ', '\t=\t'),
    'no_newline': text.rstrip(),
    'indented': text.replace('Recipe', '  Recipe'),
    'block': f'{QUICKSTART}Recipe:\n  seed = 7\n',
  }
  assert seed_of(write(forms[form])) == 7


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    (QUICKSTART.encode('utf-16'), "'mine.gin' is UTF-16: save it as UTF-8"),
    (b'# caf\xe9\n', "'mine.gin' is not UTF-8 in line 1"),
    (b'a = 1\n\0', 'has NUL bytes'),
    ('\nRecipe.seed = \u20181\u2019\n', "mine.gin, line 2: 'Recipe.seed = \u20181\u2019' has the typographic sign '\\u2018'"),
    ('Recipe.seed\u00a0= 1\n', 'mine.gin, line 1: '),
    ('\n\nRecipe.seed = \n', "mine.gin, line 3: 'Recipe.seed =' does not parse"),
    ('Recipe.seed 1\n', "mine.gin, line 1: 'Recipe.seed 1' does not parse"),
    ('\nRecipe.seed = true\n', "mine.gin, line 2: the value does not parse at 'true'; write True."),
    ('Recipe.seed = null\n', "does not parse at 'null'; write None."),
    ('Recipe.note = hello\n', "does not parse at 'hello'; write a string in quotes"),
    ('--gin.Recipe.seed=1\n', 'is a flag: in a file write Recipe.seed=1.'),
    ('gin.Recipe.seed = 1\n', "gin knows no 'gin.Recipe'. Did you mean 'Recipe'?"),
    ('B = 1\nA = [1,\n2\n\n', "mine.gin, line 2: 'A = [1,' is not complete: a bracket, brace or quote is not closed"),
    ("B = 1\nA = '''never\nclosed\n", "mine.gin, line 2: 'A = '''never' is not complete"),
    ("B = 1\nA = 'x\nC = 2\n", 'mine.gin, line 2: '),
    ('B = 1\nA = 1_\nC = 2\n', "mine.gin, line 2: 'A = 1_' does not parse"),
    ('{"Recipe.seed": 1}\n', 'mine.gin, line 1: '),
    ("\ninclude 'scales/470.gin'\n", "mine.gin, line 2: the gin file 'scales/470.gin' is not found in "),
    ("include 'scales'\n", "mine.gin, line 1: 'scales' is a folder: name a gin file, such as scales/125m.gin."),
    ("include 'mine.gin'\n", 'mine.gin, line 1: the includes go in a circle: mine.gin includes mine.gin.'),
    ('\nimport no_such_module\n', "mine.gin, line 2: there is no module 'no_such_module' to import; is its folder in PYTHONPATH?"),
    ('Recipe.sead = 1\n', "mine.gin, line 1: Recipe has no parameter 'sead'. Did you mean 'seed'?"),
    ('\nRecipe.optimizer = @Optimiser()\n', "mine.gin, line 2: gin knows no 'Optimiser'. Did you mean 'Optimizer'?"),
  ],
)
def test_a_file_that_does_not_read_is_refused_with_its_line(write, text, says):
  assert says in refusal(write(text))


def test_a_circle_of_includes_names_the_files_in_their_order(write):
  write("include 'b.gin'\n", 'a.gin')
  write("\ninclude 'a.gin'\n", 'b.gin')
  assert refusal('a.gin') == 'b.gin, line 2: the includes go in a circle: a.gin includes b.gin includes a.gin.'


def test_a_file_may_be_included_twice_from_two_places(write):
  write('Recipe.seed = 3\n', 'common.gin')
  write("include 'common.gin'\n", 'a.gin')
  assert seed_of(write(f"{QUICKSTART}include 'a.gin'\ninclude 'common.gin'\n")) == 3


def test_an_include_that_lies_beside_its_file_is_told_with_the_flag(write, tmp_path):
  (tmp_path / 'sub').mkdir()
  write("include 'common.gin'\n", 'sub/a.gin')
  write('', 'sub/common.gin')
  assert refusal('sub/a.gin').endswith('It is beside sub/a.gin: give --gin_search_paths=sub.')


def test_a_module_that_fails_is_named_with_the_line_that_failed(write, tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(str(tmp_path))
  write('a = 1\nb = a / 0\n', 'my_broken_filters.py')
  said = refusal(write('import my_broken_filters\n'))
  assert said.startswith("mine.gin, line 1: importing 'my_broken_filters' failed at ")
  assert said.endswith('my_broken_filters.py, line 2: ZeroDivisionError: division by zero')


@pytest.mark.parametrize(
  ('line', 'says'),
  [
    ('Recipe.seed = -1', 'mine.gin, line 2: Recipe.seed is -1; it is a whole number from 0 to 4,294,967,295.'),
    ('text/Stage.batch = 2.5', 'mine.gin, line 2 (text/Stage.batch): Stage.batch is 2.5; it is a whole number of rows, at least 1.'),
    ('STAGE_TOKENS = 1e400', 'mine.gin, line 2 (%STAGE_TOKENS for Stage.tokens): Stage.tokens is inf;'),
    ('PEAK = -1', 'mine.gin, line 2 (%PEAK for own_cosine/WarmupCosine.peak): WarmupCosine.peak is -1; it is a number above 0.'),
    ("FLOOR = '0.1'", "WarmupCosine.floor is '0.1'; it is a number, at least 0. Write 0.1 without quotes."),
    ("Stage.rewind = 'wiki'", "Stage.rewind is 'wiki'; it is a list of names. Write ('wiki',), with the comma"),
    ('Recipe.optimizer = @Optimizer', 'the class Optimizer; it is an Optimizer. In gin write @Optimizer() with the brackets'),
    ("Data.sources = {'a': @Corpus()}\nCorpus.files = 'raw/*'", "Write {'train': 'raw/*'}."),
    ("Data.sources = {'a': @Corpus()}\nCorpus.files = {'train': 'a'}\nCorpus.reader = @JsonLines", 'In gin write @JsonLines() with the brackets'),
    ("Data.sources = {'a': @Corpus()}\nCorpus.files = {'train': 'a'}\nCorpus.filters = (@MaxFloats())", 'Write (@MaxFloats(),), with the comma'),
    ("text/Stage.mixture = {'a': 50, 'b': 50}", "mine.gin, line 2 (text/Stage.mixture): Stage.mixture of stage 'text': the weights a=50, b=50 sum to 100, not 1"),
    ("text/Stage.mixture = [('a', 0.5), ('b', 0.5)]", 'text/Stage.mixture): Stage.mixture is ['),
    ("CODE = '%TEXT'", "mine.gin, line 2: CODE has '%TEXT' in quotes, which is text: write %TEXT without quotes."),
    ("Recipe.optimizer = '@Optimizer()'", "'@Optimizer()' in quotes"),
    ("text/Stage.mixture = '%TEXTT'", "'%TEXTT' is in quotes, which makes it a name: in gin write %TEXTT without quotes."),
    ('Recipe.seed = %SEED', 'mine.gin, line 2: %SEED has no value; bind SEED in a gin file.'),
    ('A = %B\nB = %A\nCODE = %A', 'bindings refer to each other in a circle: %A -> %B -> %A.'),
  ],
)
def test_a_value_that_is_refused_is_told_with_the_line_that_bound_it(write, line, says):
  file = write(f'{QUICKSTART}{line}\n')
  assert says in refusal(file, build='Data' if 'Corpus' in line else 'Study')


def test_a_flag_that_is_refused_is_told_as_the_flag():
  config.parse(['studies/quickstart.gin'], ['PEAK=-1'])
  with pytest.raises(UserError, match='^--gin.PEAK .for own_cosine/WarmupCosine.peak.: WarmupCosine.peak is -1'):
    config.build('Study')


@pytest.mark.parametrize('binding', ['Recipe.seed=1\nimport os', "include 'a.gin'", 'import os', ''])
def test_a_flag_is_one_binding(binding):
  with pytest.raises(UserError):
    config.parse([], [binding])


def warnings_of(*files: str) -> list[str]:
  return config.parse(files, [])


@pytest.mark.parametrize(
  ('lines', 'warned'),
  [
    ('textt/Stage.tokens = 5', "mine.gin, line 2: textt/Stage.tokens has no effect: nothing refers to @textt/Stage(). Did you mean 'text'?"),
    ('STAGE_TOKEN = 5', "mine.gin, line 2: STAGE_TOKEN has no effect: nothing refers to %STAGE_TOKEN. Did you mean 'STAGE_TOKENS'?"),
    ('MaxFloats.limit = 5', 'mine.gin, line 2: MaxFloats.limit has no effect: nothing refers to @MaxFloats(). Bind Corpus.filters = (@MaxFloats(),) or variants.kinds = {\'NAME\': (@MaxFloats(),)}.'),
    ('ShardingRules.embed = None', 'mine.gin, line 2: ShardingRules.embed has no effect: nothing refers to @ShardingRules(). Bind Runtime.rules = @ShardingRules().'),
    ('Recipe.seed = 1\nRecipe.seed = 2', 'mine.gin, line 3: Recipe.seed was bound in line 2 already; this one counts.'),
  ],
)
def test_a_binding_that_nothing_refers_to_is_warned_of_with_what_would(write, lines, warned):
  assert warnings_of(write(f'{QUICKSTART}{lines}\n')) == [warned]


def test_an_optimizer_that_no_recipe_asks_for_is_warned_of(write):
  write("Recipe.stages = [@Stage()]\nStage.name = 'a'\nOptimizer.name = 'lion'\nOptimizer.b1 = 0.8\n")
  assert warnings_of('mine.gin') == [
    'mine.gin, line 3: Optimizer.name has no effect: nothing refers to @Optimizer(). Bind Recipe.optimizer = @Optimizer().'
  ]


def test_what_a_reference_can_reach_is_not_warned_of(write):
  text = "mine/Recipe.stages = [@mine/Stage()]\nmine/Stage.name = 'a'\nmine/Stage.tokens = %MY_TOKENS\nMY_TOKENS = 5\nStage.batch = 4\n"
  text += 'mine/Stage.schedule = @WarmupCosine()\nmine/WarmupCosine.peak = 1e-3\n'
  assert warnings_of(write(f"{QUICKSTART}Study.recipes = {{'mine': @mine/Recipe()}}\n{text}")) == []


def test_an_included_file_may_offer_more_than_is_used(write):
  offers = ''.join(
    f"{name}/Stage.name = '{name}'\n{name}/Stage.tokens = 5\n{name}/Stage.batch = 1\n{name}/Stage.mixture = 'a'\n" for name in 'ab'
  )
  write(f'{offers}MaxFloats.limit = 4\n', 'library.gin')
  write("include 'library.gin'\nRecipe.stages = [@a/Stage()]\n")
  assert warnings_of('mine.gin') == []


def test_a_mistyped_scope_in_an_included_file_is_warned_of(write):
  write('textt/Stage.tokens = 5\n', 'library.gin')
  [warning] = warnings_of(write(f"{QUICKSTART}include 'library.gin'\n"))
  assert warning.startswith('library.gin, line 1: textt/Stage.tokens has no effect')


@pytest.mark.parametrize(
  'name', sorted(str(path.relative_to(config.gin_directory())) for path in config.gin_directory().rglob('*.gin'))
)
def test_no_shipped_file_is_warned_of(name):
  assert warnings_of(name) == []


def test_a_line_whose_value_nothing_takes_is_warned_of(write):
  config.parse([write(f'{QUICKSTART}Recipe.stages = [@text/Stage()]\n')], [])
  config.build('Study')
  assert config.shadowed() == [
    "mine.gin, line 2: Recipe.stages has no effect: each 'Recipe' that this run builds has a value of its own."
  ]


def test_a_flag_that_every_scope_overrides_is_refused_with_those():
  config.parse(['studies/quickstart.gin'], ['WarmupCosine.peak=1e-3'])
  config.build('Study')
  with pytest.raises(UserError, match="each 'WarmupCosine' that this run builds has a value of its own. Bind own_cosine/WarmupCosine.peak"):
    config.check_used()


@pytest.mark.parametrize(
  ('flag', 'says'),
  [
    ('seed=1', '--gin.seed has no effect: nothing refers to %seed. Did you mean --gin.Recipe.seed?'),
    ("Recipe={'seed': 1}", '--gin.Recipe names no parameter: write --gin.Recipe.PARAMETER=VALUE.'),
  ],
)
def test_a_flag_that_is_a_macro_by_mistake_is_told(flag, says):
  config.parse(['studies/quickstart.gin'], [flag])
  config.build('Study')
  with pytest.raises(UserError) as refused:
    config.check_used()
  assert str(refused.value).startswith(says)


def commands_in_comments():
  """(file, words) of each command line that a comment of a shipped file gives."""
  for path in sorted(config.gin_directory().rglob('*.gin')):
    for line in re.findall(r'^# +(codemix \S.*)$', path.read_text(), re.MULTILINE):
      for words in commands_of(line):
        if words[0] in cli.VERBS:
          yield pytest.param(words, id=f'{path.name}: {" ".join(words)}')


COMMANDS = list(commands_in_comments())


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
  """A folder with the stages that START names, as far as a plan reads them."""
  folder = tmp_path_factory.mktemp('gin')
  for stage in ('balanced', 'cooldown'):
    write_without_arrays(folder / 'runs' / 'stages' / stage, tiny_study.MODEL, 32, load_tokenizer('bytes'))
  return folder


@pytest.mark.parametrize('words', COMMANDS)
def test_every_command_line_of_a_shipped_file_is_one_that_codemix_takes(words, trained, monkeypatch):
  monkeypatch.chdir(trained)
  require_taken(words)


def test_the_command_lines_of_shipped_files_are_found():
  assert len(COMMANDS) > 20
  with pytest.raises(UserError, match='sweep'):
    require_taken(('study', '--gin_file=studies/proportions.gin', '--gin.sweep.seeds=(0, 1)'))
