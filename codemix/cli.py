"""The `codemix` command: one verb per job, flags as in T5X."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from codemix import interrupts
from codemix.errors import CodemixError, UserError, nearest
from codemix.terminal import (
  drop_output,
  is_verbose,
  keep_stdout_for_results,
  stdout_is_full,
  write_in_any_encoding,
)

# verb -> (what it does, an example); codemix.commands.<verb> is imported on use.
VERBS = {
  'prepare': (
    'tokenize the sources of a recipe or study into token stores',
    'codemix prepare --gin_file=studies/quickstart.gin',
  ),
  'tokenizer': (
    'train the byte-level BPE tokenizer that Data.tokenizer names, or describe it',
    'codemix tokenizer train --gin_file=studies/quickstart.gin',
  ),
  'plan': (
    'compile every stage for a given topology, without the chips: memory, time, chip-hours',
    'codemix plan --gin_file=recipes/balanced_to_text.gin --gin_file=scales/470m.gin --gin_file=runtimes/tpu_pod.gin --topology=v5e:16x16',
  ),
  'train': (
    'train the stages of one recipe, and evaluate each',
    'codemix train --gin_file=recipes/balanced_to_text.gin',
  ),
  'launch': (
    'run a study in several processes of this machine, under SLURM, on TPU VMs or in a cluster',
    'codemix launch local --processes=2 --cpu_devices=1 --gin_file=studies/quickstart.gin',
  ),
  'evaluate': (
    'score finished stages on held-out text and code',
    'codemix evaluate --gin_file=recipes/balanced_to_text.gin',
  ),
  'generate': (
    "continue a prompt with a stage's model",
    "codemix generate --stage=runs/stages/cooldown-0123456789ab --prompt='def main('",
  ),
  'export': (
    'write a finished stage as a folder that Hugging Face transformers loads',
    'codemix export runs/stages/cooldown-0123456789ab exported',
  ),
  'import': (
    'read a model of Hugging Face transformers from disk, as a finished stage',
    'codemix import exported imported',
  ),
  'study': (
    'train, evaluate and compare the recipes of a study, shared stages once',
    'codemix study --gin_file=studies/quickstart.gin',
  ),
  'report': ('write report.html, report.md, results.csv and scores.csv of a study', 'codemix report --output=runs/quickstart'),
  'inspect': (
    'show the plan of a recipe, the rows of a step, the steps that read a passage, or a token store',
    'codemix inspect --gin_file=studies/quickstart.gin --find="import contextlib"',
  ),
  'verify': ('re-read token stores against their digests', 'codemix verify runs/data/stores'),
  'contamination': (
    'find the items of evaluation sets in the training data of a run',
    'codemix contamination --gin_file=studies/quickstart.gin --items=gsm8k=test.jsonl',
  ),
  'bench': ('measure how fast codemix is on this machine', 'codemix bench data'),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one verb; returns its exit code (see `codemix.errors`)."""
  argv = list(sys.argv[1:] if argv is None else argv)
  write_in_any_encoding()
  speaker = f'codemix {argv[0]}' if argv and argv[0] in VERBS else 'codemix'
  try:
    exit_code = _run(argv)
    sys.stdout.flush()
    return exit_code
  except CodemixError as error:
    print(f'{speaker}: {error}', file=sys.stderr)
    _report_to_peers(error.exit_code, str(error))
    return error.exit_code
  except KeyboardInterrupt:
    print(f'{speaker}: stopped; the same command resumes from the last checkpoint.', file=sys.stderr)
    _report_to_peers(130, 'Ctrl-C')
    return 130
  except Exception as error:
    # First: what a bucket's client raises can be any of the errors below, too.
    if (found := _outage(error)) is None:
      return _end_of_system_error(error, speaker)
    print(f'{speaker}: {found}', file=sys.stderr)
    _report_to_peers(found.exit_code, str(found))
    return found.exit_code


def _end_of_system_error(error: Exception, speaker: str) -> int:
  """The exit code of an error of this machine's files and streams, after a word about it; raises any other error again."""
  if isinstance(error, BrokenPipeError):  # the reader of the output, such as `head`, has closed it
    drop_output()
    return 141
  if isinstance(error, PermissionError) and error.filename:
    print(f'{speaker}: {error.filename} cannot be read or written: {error.strerror}. Change its permissions.', file=sys.stderr)
    return 2
  if isinstance(error, OSError) and stdout_is_full(error):
    drop_output()
    print(f'{speaker}: cannot write its output: {error.strerror}.', file=sys.stderr)
    return 2
  raise error


def _outage(error: Exception) -> CodemixError | None:
  """The error for people that an error of a bucket's client stands for."""
  from codemix.storage.outages import outage

  return outage(error)


def entry() -> NoReturn:
  """The console script: runs one verb and ends the process with its exit code."""
  keep_stdout_for_results(native_to_stderr='--verbose' in sys.argv)
  interrupts.keep()
  try:
    exit_code = main()
  except Exception as error:
    if not (processes := _processes()):
      raise
    processes.wait_for_cause(error)
    sys.excepthook(type(error), error, error.__traceback__)
    _report_to_peers(exit_code := 1, f'{type(error).__name__}: {error}'.splitlines()[0])
  if processes := _processes():
    processes.leave(exit_code)  # with several processes, an ordinary exit would lose the code
  sys.exit(exit_code)


def _processes() -> ModuleType | None:
  """`codemix.parallel.processes` if it was imported; otherwise there are no other processes."""
  return sys.modules.get('codemix.parallel.processes')


def _report_to_peers(exit_code: int, reason: str) -> None:
  if processes := _processes():
    processes.report_end(exit_code, reason)


def _run(argv: list[str]) -> int:
  if argv[:1] == ['help'] and len(argv) == 2:  # `codemix help train`, as in git
    argv = [argv[1], '--help']
  if not argv or argv[0] in ('-h', '--help', 'help'):
    print(_help())
    return 0
  if argv[0] == '--version':
    print(importlib.import_module('importlib.metadata').version('codemix'))
    return 0
  verb, *rest = argv
  if verb.startswith('-'):
    raise UserError(f'the verb comes first: write codemix VERB {verb}. `codemix --help` lists the verbs.')
  if verb not in VERBS:
    raise UserError(f"there is no verb '{verb}'.{nearest(verb, VERBS)} `codemix --help` lists them.")
  from codemix import noise  # imports logging, which `--help` does not need

  noise.show_all() if '--verbose' in rest or is_verbose() else noise.silence_known()
  command = importlib.import_module(f'codemix.commands.{verb}')
  about, example = VERBS[verb]
  parser = Parser(
    prog=f'codemix {verb}',
    description=f'{about[0].upper()}{about[1:]}.',
    epilog=f'example:\n  {example}',
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  command.add_arguments(parser)
  try:
    arguments = parser.parse_args(rest)
  except SystemExit:  # after --help
    return 0
  return command.run(arguments) or 0


class Parser(argparse.ArgumentParser):
  """Parses gin bindings in addition to its own flags, and reports a mistake in one line, without the usage.

  Bindings are removed first, since argparse would read one with a space in its value as a file name.
  """

  def __init__(self, **settings):
    super().__init__(**settings)
    self.add_argument('--verbose', action='store_true', help='show all that the libraries log and warn of')

  def parse_args(self, args: Sequence[str], namespace: argparse.Namespace | None = None) -> argparse.Namespace:
    """The arguments, with `gin_bindings`: 'Stage.batch=8' for --gin.Stage.batch=8, in order.

    Raises UserError: an unknown word.
    """
    words, bindings = _without_bindings(args)
    arguments, unknown = self.parse_known_args(words, namespace)
    folders = [word for action in self._get_positional_actions() if action.nargs == '*' for word in getattr(arguments, action.dest)]
    if strays := [*unknown, *filter(_is_gin_file, folders)]:
      self.error(_instead_of(strays[0], [option for action in self._actions for option in action.option_strings]))
    if bindings and '--gin_file' not in self._option_string_actions:
      self.error(f'--gin.{bindings[0].partition("=")[0]}: this verb reads no gin')
    arguments.gin_bindings = bindings
    return arguments

  def error(self, message: str) -> NoReturn:
    stop = '' if message.endswith(('.', '?')) else '.'
    if chosen := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
      stop += nearest(chosen[1], re.findall(r"[^\s',]+", chosen[2]))
    raise UserError(f'{message}{stop} `{self.prog} --help` shows the flags.')


def _without_bindings(words: Sequence[str]) -> tuple[list[str], list[str]]:
  """The words that are not gin bindings, and the bindings: --gin.NAME=VALUE, or --gin.NAME VALUE.

  T5X has these flags; gin's own, --gin_bindings='NAME = VALUE', means the same.
  """
  others, bindings = [], []
  waiting = iter(words)
  for word in waiting:
    if word == '--':
      return [*others, word, *waiting], bindings
    flag, given, value = word.partition('=')
    if flag == '--gin_bindings':
      name, given, value = (value if given else next(waiting, '')).partition('=')
    elif flag.startswith('--gin.'):
      name = flag.removeprefix('--gin.')
      if not given:
        value = next(waiting, '')
        given = '=' if not value.startswith('--') else ''
    else:
      others.append(word)
      continue
    if not name.strip() or not given or not value.strip():
      raise UserError(f'{flag} lacks a value: write --gin.{name.strip() or "NAME"}=VALUE.')
    bindings.append(f'{name}={value}')
  return others, bindings


def _is_gin_file(word: str) -> bool:
  return word.endswith('.gin')


def _instead_of(word: str, known: Sequence[str]) -> str:
  """The error for a word that is not an argument, with what to write instead."""
  flag, given, value = word.partition('=')
  if not word.startswith('-'):
    if _is_gin_file(word):
      return f"'{word}' lacks its flag: write --gin_file={word}"
    if given and '.' in flag:
      return f"'{word}' lacks its flag: write --gin.{flag.removeprefix('gin.')}={value}"
    if '--output' in known and os.path.isdir(word):
      return f"'{word}' lacks its flag: write --output={word}"
    return f"there is no argument '{word}'.{nearest(word, known)}"
  name = flag.lstrip('-')
  if f'--{name}' in known or name.startswith('gin.'):
    return f"'{word}' has one dash: write -{word}"
  from codemix import config

  if bindings := config.bindings_of(name):  # --seed=1 is --gin.Recipe.seed=1
    return f"there is no argument '{flag}'. Write {_flag_of(bindings[0], value)} to bind that of gin"
  return f"there is no argument '{flag}'.{nearest(f'--{name}', known)}"


def _flag_of(binding: str, value: str) -> str:
  """The flag that binds a value as typed to the shell; a value that is not a Python literal is text."""
  try:
    ast.literal_eval(value or 'None')
  except (SyntaxError, TypeError, ValueError):
    value = value if value[0] in '@%' else repr(value)
  return f'--gin.{binding}={value or "VALUE"}' if value.isalnum() or not value else f'"--gin.{binding}={value}"'


def _help() -> str:
  width = max(map(len, VERBS))
  lines = [f'  {verb:<{width}}  {about}' for verb, (about, _) in VERBS.items()]
  return '\n'.join(
    [
      'usage: codemix VERB [--gin_file=FILE ...] [--gin.NAME=VALUE ...]',
      '',
      'What does code in the pre-training data do to a language model? codemix trains recipes of text and',
      'code in stages, evaluates each stage, and compares them.',
      '',
      *lines,
      '',
      'codemix VERB --help shows the flags of one, with an example.',
    ]
  )
