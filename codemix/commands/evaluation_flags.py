"""The benchmarks that the flags and gin files of `codemix evaluate STAGE_FOLDER` name."""

from __future__ import annotations

import argparse

from codemix import config
from codemix.commands.experiment import parse_gin
from codemix.errors import UserError
from codemix.evaluation.tasks.coding import Coding
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.evaluation.tasks.free_answer import FreeAnswer
from codemix.evaluation.tasks.instructions import Instructions
from codemix.models.decoding import Decoding

MOST_TOKENS = 256  # of a completion, if flags set other parts of the decoding
MOST_SECONDS = 10**7  # of waiting; time.sleep takes no infinity
_DECODING = ('max_new_tokens', 'temperature', 'top_p', 'samples')
_OF_FOLDER = ('eval_dir', 'shots', 'limit', 'seed', 'batch', 'step', 'watch', 'watch_timeout', 'generate_only', 'completions', *_DECODING)
_OF_STUDY = ('stage', 'contamination')


def require_effect(arguments: argparse.Namespace) -> None:
  """Raises UserError for flags that would have no effect beside the others."""
  if arguments.folder:
    _refuse(arguments, _OF_STUDY, 'is for the stages of a study: give it with --gin_file and without a folder.')
  else:
    _refuse(arguments, _OF_FOLDER, 'needs a stage folder; for the stages of a study, bind it in gin: Study.evaluate = @Evaluation().')
  if arguments.watch:
    _refuse(arguments, ('step', 'against'), 'is for one checkpoint, and --watch evaluates all.')
  else:
    _refuse(arguments, ('watch_every', 'watch_timeout'), 'needs --watch.')
  if arguments.against:
    _refuse(arguments, ('step', 'batch', 'generate_only', 'completions'), 'has no effect with --against: a judge compares what the ends of two stages generate.')
  for flag in ('watch_every', 'watch_timeout'):
    seconds = getattr(arguments, flag)
    if seconds is not None and not 0 < seconds <= MOST_SECONDS:
      raise UserError(f'--{flag} is {seconds}: it must be more than 0 seconds, and at most {MOST_SECONDS:,}.')
  if arguments.batch is not None and arguments.batch < 1:
    raise UserError(f'--batch is {arguments.batch}: it must be at least 1 row.')
  if arguments.completions:
    _refuse(arguments, ('generate_only', *_DECODING), 'has no effect on the completions of a file.')


def evaluation_of(arguments: argparse.Namespace) -> Evaluation:
  """The `Evaluation` of the gin files, if there are any, with what the flags say instead.

  Raises UserError if nothing names a task, or a value is out of range.
  """
  flags = {
    'tasks': tuple(filter(None, arguments.tasks.split(','))) if arguments.tasks else None,
    'directory': arguments.eval_dir,
    'shots': arguments.shots,
    'limit': arguments.limit,
    'seed': arguments.seed,
    'decoding': _decoding(arguments),
    'generate_only': arguments.generate_only or None,
    'completions': arguments.completions,
  }
  given = {name: value for name, value in flags.items() if value is not None}
  if arguments.gin_file or arguments.gin_bindings:
    parse_gin(arguments)
    if not config.is_bound('Evaluation', 'tasks') and 'tasks' not in given:
      raise UserError('a stage folder needs no gin file, except one that describes benchmarks of your own: bind Evaluation.tasks in it.')
    if config.is_bound('Evaluation', 'tasks') and 'tasks' in given:
      own = {task.name: task for task in config.build('Evaluation').tasks if not isinstance(task, str)}
      given['tasks'] = tuple(own.get(name, name) for name in given['tasks'])
    evaluation = config.build('Evaluation', **given)
    config.check_used()
    return _with_effect(evaluation, arguments)
  if 'tasks' not in given:
    raise UserError('name benchmarks with --tasks=NAMES, such as --tasks=piqa,arc_easy; `codemix evaluate --tasks=list` lists them.')
  return _with_effect(Evaluation(**given), arguments)


def _with_effect(evaluation: Evaluation, arguments: argparse.Namespace) -> Evaluation:
  """The evaluation. Raises UserError for flags of generation if none of its tasks generates."""
  if not any(isinstance(task, Coding | FreeAnswer | Instructions) for task in evaluation.selected()):
    names = ', '.join(task.name for task in evaluation.selected())
    _refuse(arguments, ('generate_only', *_DECODING), f'has no effect: no task of {names} generates.')
  return evaluation


def _decoding(arguments: argparse.Namespace) -> Decoding | None:
  given = {name: value for name in _DECODING if (value := getattr(arguments, name)) is not None}
  return Decoding(**{'max_new_tokens': MOST_TOKENS, **given}) if given else None


def _refuse(arguments: argparse.Namespace, flags: tuple[str, ...], reason: str) -> None:
  for flag in flags:
    if getattr(arguments, flag) not in (None, False):
      raise UserError(f'--{flag} {reason}')
