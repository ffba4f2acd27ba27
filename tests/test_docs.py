"""The documentation says only what is so: commands parse, links lead somewhere, the reference is complete."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import codemix
import codemix.configurables
import gin
from codemix import cli
from codemix.commands import bench, evaluation_flags, experiment, model
from codemix.data.batches.ledger import SourceUse
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import CodemixError
from tests import tiny_study
from tests.studies.starts import write_without_arrays

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob('*.md'), *sorted((ROOT / 'docs').rglob('*.md'))]
FENCE = re.compile(r'^```(\S*)\n(.*?)^```$', re.DOTALL | re.MULTILINE)


class Command(NamedTuple):
  page: str
  words: tuple[str, ...]  # the verb and its flags

  def __str__(self) -> str:
    return f'{self.page}: codemix {" ".join(self.words)}'


def blocks(page: Path, language: str) -> list[str]:
  return [body for spoken, body in FENCE.findall(page.read_text()) if spoken == language]


def prose(page: Path) -> str:
  return FENCE.sub('', page.read_text())


def words_of(line: str) -> list[str]:
  """A shell line's words, with 1 for each variable; operators are words of their own."""
  lexer = shlex.shlex(re.sub(r'\$\([^)]*\)|\$\w+', '1', line), posix=True, punctuation_chars=True)
  lexer.whitespace_split = True
  return list(lexer)


def commands_of(line: str) -> Iterator[tuple[str, ...]]:
  words = words_of(line)
  for index, word in enumerate(words):
    if word.endswith('bin/codemix') or word == 'codemix':
      rest = words[index + 1 :]
      end = next((i for i, w in enumerate(rest) if set(w) <= set('();<>|&')), len(rest))
      yield tuple(rest[:end])
    elif word.startswith('launch/'):
      yield from launched(ROOT / word, words[index + 1 :])
    elif word.startswith('codemix '):  # srun bash -c '...'
      yield from commands_of(word)


def launched(script: Path, arguments: list[str]) -> Iterator[tuple[str, ...]]:
  """What a script of launch/ runs, with these arguments in place of its "$@"."""
  assert script.is_file(), f'{script} does not exist'
  for line in shell_lines(script.read_text()):
    if line.startswith('exec .venv/bin/codemix'):
      for command in commands_of(line):
        yield (*[word for word in command if word != '$@'], *arguments)


def shell_lines(text: str) -> list[str]:
  return text.replace('\\\n', ' ').splitlines()


def every_command() -> Iterator[Command]:
  for page in PAGES:
    indented = re.findall(r'^    (\S.*)$', prose(page), re.MULTILINE)
    lines = [line for block in blocks(page, 'bash') for line in shell_lines(block)]
    for line in [*lines, *indented]:
      for words in commands_of(line):
        yield Command(str(page.relative_to(ROOT)), words)


def parser_of(verb: str) -> argparse.ArgumentParser:
  parser = cli.Parser(prog=f'codemix {verb}', allow_abbrev=False)
  importlib.import_module(f'codemix.commands.{verb}').add_arguments(parser)
  return parser


def flags_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
  return {
    option: action
    for action in parser._actions
    for option in action.option_strings
    if option.startswith('--') and option != '--help'
  }


def table(section: str) -> list[dict[str, str]]:
  """The rows of all Markdown tables in a text, by the heads of their columns."""
  rows: list[dict[str, str]] = []
  head: list[str] = []
  for line in section.splitlines():
    cells = [cell.strip() for cell in line.strip('|').split(' | ')] if line.startswith('|') else []
    if not cells:
      head = []
    elif not head:
      head = [cell.strip('| ') for cell in line.split('|')[1:-1]]
    elif not set(line) <= set('|-: '):
      rows.append(dict(zip(head, [cell.strip('| ') for cell in cells], strict=False)))
  return rows


def sections(page: Path) -> dict[str, str]:
  parts = re.split(r'^## (.+)$', page.read_text(), flags=re.MULTILINE)
  return dict(zip(parts[1::2], parts[2::2], strict=True))


def slug(heading: str) -> str:
  """A heading's anchor, as GitHub and MyST make it."""
  return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


@pytest.fixture(scope='session')
def files_of_the_docs(tmp_path_factory):
  """A folder with the files that the pages spell out, each in a block that begins with its name."""
  folder = tmp_path_factory.mktemp('docs')
  for page in PAGES:
    for block in blocks(page, 'text') + blocks(page, 'python'):
      if name := re.match(r'# (\w+\.(gin|py))\n', block):
        (folder / name[1]).write_text(block)
  # The stages that Recipe.start names, as far as a plan reads them.
  for stage in ('balanced', 'continued'):
    write_without_arrays(folder / 'runs' / 'stages' / f'{stage}-0123456789ab', tiny_study.MODEL, 32, load_tokenizer('bytes'))
  return folder


COMMANDS = list(every_command())


def test_the_pages_have_commands():
  assert {command.words[0] for command in COMMANDS} >= set(cli.VERBS)


@pytest.mark.parametrize('command', COMMANDS, ids=str)
def test_every_command_line_is_one_that_codemix_takes(command, files_of_the_docs, monkeypatch):
  monkeypatch.chdir(files_of_the_docs)
  require_taken(command.words)


def require_taken(words: tuple[str, ...]) -> None:
  """The verb and its flags parse, the gin files exist, and each binding has an effect."""
  verb, *rest = words
  if verb.startswith('--'):
    assert words in (('--help',), ('--version',))
    return
  assert verb in cli.VERBS
  if rest == ['--help']:
    return
  # A name in capitals stands for a file of the reader's.
  rest = [word for word in rest if not re.fullmatch(r'--gin_file=[A-Z_]+\.gin', word)]
  parser = parser_of(verb)
  arguments = parser.parse_args(rest)
  # Files, names, values, and that each binding has an effect.
  if verb == 'bench':
    benchmark = importlib.import_module(f'codemix.benchmarks.{arguments.what}')
    bench.given_size(benchmark.Size, arguments.size)
    bench.given_model(arguments)
  elif getattr(arguments, 'model', False):
    model.recipes_of(arguments)
  elif verb == 'evaluate' and (arguments.folder or arguments.show_prompts or arguments.write_prompts):
    evaluation_flags.evaluation_of(arguments)
  elif getattr(arguments, 'status', None):
    assert not arguments.gin_file
  elif verb == 'evaluate' and arguments.tasks:
    assert arguments.tasks == 'list'
  elif '--gin_file' in flags_of(parser):
    experiment.load_experiment(arguments, also=_also(verb, arguments))


def _also(verb: str, arguments: argparse.Namespace) -> tuple[str, ...]:
  """Configurables that a command builds beside the study."""
  if verb == 'study' and arguments.pilot:
    return ('Pilot', 'Power')
  return ('Power',) if getattr(arguments, 'power', False) else ()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_command_within_a_sentence_exists(page):
  for verb, rest in re.findall(r'`codemix ([a-z]+)([^`]*)`', prose(page)):
    assert verb in cli.VERBS
    known = flags_of(parser_of(verb))
    for flag in re.findall(r'--[\w.]+', rest):
      assert flag in (*known, '--help'), f'{page.name}: codemix {verb} has no {flag}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
  for target in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
    if re.match(r'https?://', target):
      continue
    path, _, anchor = target.partition('#')
    goal = (page.parent / path).resolve() if path else page
    assert goal.exists(), f'{page.name} links to {target}'
    if anchor:
      headings = re.findall(r'^#+ (.+)$', prose(goal), re.MULTILINE)
      assert anchor in map(slug, headings), f'{page.name} links to {target}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_gin_file_that_is_named_ships(page):
  named = re.findall(r'\b((?:models|sources|stages|scales|recipes|studies|runtimes)/\w+\.gin)', page.read_text())
  for name in named:
    assert name == 'recipes/NAME.gin' or (ROOT / 'gin' / name).is_file(), f'{page.name} names {name}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_python_on_the_pages_parses_and_names_what_is_public(page):
  for block in blocks(page, 'python'):
    for node in ast.walk(ast.parse(block)):
      if isinstance(node, ast.Attribute) and getattr(node.value, 'id', None) == 'codemix':
        assert node.attr in codemix.__all__
      if isinstance(node, ast.ImportFrom) and node.module.startswith('codemix.'):
        source = Path(importlib.util.find_spec(node.module).origin).read_text()
        assert all(f'{alias.name}' in source for alias in node.names)


def test_every_configurable_is_in_the_reference_with_its_defaults():
  documented = sections(ROOT / 'docs' / 'reference' / 'gin.md')
  registered = {
    selector.removeprefix('codemix.'): entry.wrapped
    for selector, entry in gin.config._REGISTRY.items()
    if selector.startswith('codemix.')
  }
  assert registered.keys() == {name for name in documented if 'parameter' in documented[name]}
  for name, wrapped in registered.items():
    rows = {row['parameter'].strip('`'): row['default'] for row in table(documented[name])}
    parameters = inspect.signature(wrapped).parameters
    assert list(rows) == list(parameters), name
    for parameter in parameters.values():
      assert default_of(rows[parameter.name]) == shown(parameter.default), f'{name}.{parameter.name}'


def default_of(cell: str) -> object:
  text = cell.strip('`')
  return text if text == 'required' or text.endswith('()') and text != '()' else ast.literal_eval(text)


def shown(default: object) -> object:
  if default is inspect.Parameter.empty:
    return 'required'
  if default is dataclasses._HAS_DEFAULT_FACTORY:
    return {}
  if dataclasses.is_dataclass(default):
    assert default == type(default)()
    return f'{type(default).__name__}()'
  return default


@pytest.mark.parametrize('verb', cli.VERBS)
def test_every_verb_is_in_the_reference_with_its_flags(verb):
  documented = sections(ROOT / 'docs' / 'reference' / 'cli.md')
  shared = cli.Parser(add_help=False)
  for add in (
    experiment.add_gin_arguments,
    experiment.add_process_arguments,
    experiment.add_format_argument,
  ):
    add(shared)
  assert spelled(flags_of(shared)) == in_table(documented['Common flags'])
  own = {k: v for k, v in flags_of(parser_of(verb)).items() if k not in flags_of(shared)}
  assert spelled(own) == in_table(documented[verb])
  for row in table(documented[verb]):
    if 'default' in row:
      action = own[row['flag'].strip('`').split()[0]]
      assert row['default'] == ('required' if action.required else str(action.default))


def spelled(flags: dict[str, argparse.Action]) -> dict[str, str]:
  """Each flag with its value as --help spells it."""
  values = {
    option: action.metavar or f'{{{",".join(action.choices)}}}' if action.choices or action.metavar else action.dest.upper()
    for option, action in flags.items()
  }
  return {
    option: f'{option} {value}' if flags[option].nargs != 0 else option for option, value in values.items()
  }


def in_table(section: str) -> dict[str, str]:
  flags = [row['flag'].strip('`') for row in table(section) if 'flag' in row]
  return {flag.split()[0]: flag for flag in flags}


def test_every_exit_code_is_in_the_reference():
  rows = table(sections(ROOT / 'docs' / 'reference' / 'cli.md')['Exit codes'])
  codes = {kind.exit_code for kind in (CodemixError, *CodemixError.__subclasses__())}
  assert {int(row['code']) for row in rows} == codes | {0, 130, 141}


def test_every_public_name_is_in_the_reference():
  text = (ROOT / 'docs' / 'reference' / 'api.md').read_text()
  assert sorted(re.findall(r'^\.\. auto\w+:: codemix\.(\w+)$', text, re.MULTILINE)) == sorted(codemix.__all__)


def test_every_field_of_a_source_is_in_the_reference():
  rows = table((ROOT / 'docs' / 'reference' / 'files.md').read_text())
  told = {name for row in rows for name in re.findall(r'`([a-z_]+)`', row.get('field', ''))}
  assert {field.name for field in dataclasses.fields(SourceUse)} <= told
