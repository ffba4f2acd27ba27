"""The part of `codemix evaluate` that compares two stages by a judge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from codemix.errors import UserError
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.tasks.instructions import Instructions
from codemix.evaluation.tasks.task import Settings
from codemix.formatting import count
from codemix.studies.judging import Comparison, judge_stages
from codemix.studies.load_stage import FinishedStage, load_stage


def add_judge_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--against', metavar='DIR', help="another finished stage's folder; a judge compares the answers to --tasks=dolly, say")
  parser.add_argument('--judge', metavar='MODEL', default='', help='the judge: a model behind an OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY')
  parser.add_argument('--judge_url', metavar='URL', help='of the endpoint; without it, OPENAI_BASE_URL')
  parser.add_argument('--judge_checkpoint', metavar='DIR', help="instead of an endpoint, a finished stage's folder")
  parser.add_argument('--judge_budget', type=int, metavar='N', help='requests to send at most')


def judge_of(arguments: argparse.Namespace) -> Judge | None:
  """The judge of the flags; None if there is no `--against`. Raises UserError if flags are missing or out of range."""
  if not arguments.against:
    for flag in ('judge', 'judge_url', 'judge_checkpoint', 'judge_budget'):
      if getattr(arguments, flag) not in (None, ''):
        raise UserError(f'--{flag} needs --against, the stage to compare with.')
    return None
  if bool(arguments.judge) == bool(arguments.judge_checkpoint):
    raise UserError('--against needs --judge=MODEL or --judge_checkpoint=STAGE_FOLDER, and not both.')
  return Judge(
    model=arguments.judge, checkpoint=arguments.judge_checkpoint, url=arguments.judge_url, budget=arguments.judge_budget
  )


def run_judge(stage: FinishedStage, other: str, tasks: list, settings: Settings, judge: Judge) -> dict[str, Mapping[str, float]]:
  """Compares a stage with another on each task of instructions; prints a line for each.

  Raises UserError if none of the tasks is one of instructions.

  Returns:
    The scores by the name of the results.
  """
  instructions = [task for task in tasks if isinstance(task, Instructions)]
  if not instructions:
    raise UserError('--against compares answers to instructions, and no task of --tasks has any: write --tasks=dolly.')
  compared = [judge_stages(stage, load_stage(other), task, settings, judge) for task in instructions]
  compared = [comparison for comparison in compared if comparison.scores]  # those of process 0
  for comparison in compared:
    for line in lines(comparison):
      print(line, file=sys.stderr)
  return {comparison.name: comparison.scores for comparison in compared}


def lines(comparison: Comparison) -> list[str]:
  """What a person reads about a comparison."""
  scores = comparison.scores
  shown = [f'{comparison.name}: {count(int(scores["judged"]), "prompt")} of {int(scores["prompts"]):,} judged']
  if 'win_rate' in scores:
    part = lambda name: f'{scores[name]:.1%} [{scores[f"{name}_low"]:.1%}, {scores[f"{name}_high"]:.1%}]'
    shown.append(f'  win {part("win")}, loss {part("loss")}, tie {part("tie")}')
    shown.append(f'  win rate {part("win_rate")}, at equal length {part("win_rate_equal_length")}')
    if comparison.name.endswith('-against-itself') and not scores['win_rate_low'] <= 0.5 <= scores['win_rate_high']:
      shown.append('  An A/A run must come to 50%: this judge does not, so do not trust its other verdicts.')
  if scores.get('first_shown', 0.5) not in (0.5,):
    shown.append(f'  the answer shown first won {scores["first_shown"]:.1%} of the decided questions')
  if left := int(scores['unparsed'] + scores['not_asked']):
    shown.append(f'  {count(int(scores["unparsed"]), "verdict")} without a preference, {int(scores["not_asked"]):,} not asked (budget): {left:,} left out; the same command asks for them again')
  if equal := int(scores.get('equal_answers', 0)):
    shown.append(f'  {count(equal, "prompt")} with two equal answers: ties, without asking the judge')
  if comparison.asked or comparison.cached:
    shown.append(f'  {count(comparison.asked, "answer")} new, {comparison.cached:,} from the cache')
  if comparison.models:
    shown.append(f'  answered by {", ".join(comparison.models)}')
  if comparison.failures:
    shown.append(f'  last failure: {comparison.failures[-1]}')
  return shown
