"""`codemix evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  add_process_arguments,
  load_experiment,
  set_up_jax,
  show_line,
  start_processes,
)
from codemix.commands.judging import add_judge_arguments, judge_of, run_judge
from codemix.errors import UserError
from codemix.formatting import count
from codemix.storage import as_path, local_path

WATCH_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('folder', nargs='?', metavar='STAGE_FOLDER', help="a finished stage's folder; it is evaluated on --tasks, without gin")
  add_gin_arguments(parser)
  add_process_arguments(parser)
  parser.add_argument('--stage', metavar='NAME', help='with --gin_file: only stages of this name, or whose hash begins so')
  parser.add_argument(
    '--contamination', metavar='FILE', help='also score what is clean by the file that `codemix contamination` wrote'
  )
  parser.add_argument('--tasks', metavar='NAMES', help="benchmarks and groups, comma-separated, such as nl_reasoning,piqa,code; 'list' lists them")
  parser.add_argument('--eval_dir', metavar='DIR', help='the folder of evaluation sets; without it, $CODEMIX_EVAL_DIR')
  parser.add_argument('--shots', type=int, metavar='N', help='examples before each question (default 0)')
  parser.add_argument('--limit', type=int, metavar='N', help='items of each task at most')
  parser.add_argument('--seed', type=int, metavar='N', help='draws the examples, and seeds sampling (default 0)')
  parser.add_argument('--max_new_tokens', type=int, metavar='N', help='tokens of a completion at most; without it, what the task says, or 256 if another flag of the decoding is given')
  parser.add_argument('--temperature', type=float, metavar='T', help='of sampling; 0 is greedy (default)')
  parser.add_argument('--top_p', type=float, metavar='P', help='of sampling; 1 is all (default)')
  parser.add_argument('--samples', type=int, metavar='N', help='completions of each prompt (default 1)')
  parser.add_argument('--batch', type=int, metavar='ROWS', help='rows computed at a time; scores do not depend on it')
  parser.add_argument('--step', type=int, metavar='N', help='a checkpoint before the end of the stage, by the step of the run')
  parser.add_argument('--watch', action='store_true', help='evaluate each new checkpoint of a stage or output folder, until it is done')
  parser.add_argument('--watch_every', type=float, metavar='SECONDS', help='between two looks of --watch (default 10)')
  parser.add_argument('--watch_timeout', type=float, metavar='SECONDS', help='end --watch with an error if nothing new comes for so long')
  parser.add_argument('--show_prompts', type=int, metavar='N', help='print the first N prompts of each task, and score nothing')
  parser.add_argument('--generate_only', action='store_true', help='keep the completions, and execute nothing')
  parser.add_argument('--write_prompts', metavar='FILE', help='write the prompts of tasks that generate for an engine elsewhere, and score nothing')
  parser.add_argument('--completions', metavar='FILE', help='score the completions of this file, made elsewhere')
  add_judge_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  from codemix.commands.evaluation_flags import require_effect

  if arguments.tasks == 'list':
    return _list(arguments)
  if arguments.show_prompts is not None:
    return _show_prompts(arguments)
  if arguments.write_prompts is not None:
    return _write_prompts(arguments)
  require_effect(arguments)
  if arguments.folder:
    return _evaluate_folder(arguments)
  if arguments.tasks:
    raise UserError('--tasks is for one stage: give its folder, or set Study.evaluate in gin to evaluate the stages of a study.')
  if not arguments.gin_file and not arguments.gin_bindings:
    raise UserError('name a STAGE_FOLDER and its --tasks, or a study with --gin_file; `codemix evaluate --help` shows an example of each.')
  return _evaluate_study(arguments)


def _list(arguments: argparse.Namespace) -> None:
  from codemix.data.evaluation_sets.folder import EvaluationFolder
  from codemix.evaluation.tasks.registry import TASKS
  from codemix.studies.show_tasks import show_list

  show_list(TASKS, EvaluationFolder(local_path(arguments.eval_dir, '--eval_dir') if arguments.eval_dir else None), sys.stdout)


def _show_prompts(arguments: argparse.Namespace) -> None:
  from codemix.commands.evaluation_flags import evaluation_of
  from codemix.evaluation.tasks.show_prompts import prompts

  if arguments.show_prompts < 1:
    raise UserError(f'--show_prompts is {arguments.show_prompts}: it must be at least 1 prompt of each task.')
  evaluation = evaluation_of(arguments)
  for task, evaluator in zip(evaluation.selected(), evaluation.evaluators(), strict=True):
    print(f'{task.name}\n')
    print('\n\n'.join(prompts(evaluator.items, arguments.show_prompts)) + '\n')


def _write_prompts(arguments: argparse.Namespace) -> None:
  from codemix.commands.evaluation_flags import evaluation_of
  from codemix.evaluation.tasks.completions_file import write_prompts

  evaluators = evaluation_of(arguments).evaluators()
  if choices := [evaluator.name for evaluator in evaluators if not hasattr(evaluator, 'decoding')]:
    raise UserError(f'--write_prompts is for tasks that generate; {choices[0]} is scored by likelihoods, which an engine elsewhere does not give.')
  written = write_prompts(evaluators, as_path(arguments.write_prompts))
  print(f'{count(written, "prompt")} in {arguments.write_prompts}')


def _evaluate_folder(arguments: argparse.Namespace) -> None:
  from codemix.commands.evaluation_flags import evaluation_of
  from codemix.evaluation.tasks.instructions import Instructions

  judge = judge_of(arguments)
  evaluation = evaluation_of(arguments)
  evaluators = evaluation.evaluators()  # so that a missing file is found before the model is read
  start_processes(arguments)

  import jax

  from codemix.studies.folder_evaluation import evaluate_folder
  from codemix.studies.load_stage import load_stage
  from codemix.studies.show_tasks import show_tasks, without_prefix
  from codemix.training.runtime import Runtime

  set_up_jax(Runtime())
  if arguments.watch:
    return _watch(arguments, evaluators)
  if arguments.step is not None and not _is_end(arguments):
    return _evaluate_step(arguments, evaluators)
  stage = load_stage(arguments.folder)
  if judge is not None:
    scores = run_judge(stage, arguments.against, evaluation.selected(), evaluation.settings(), judge)
  else:
    scores = evaluate_folder(stage, evaluators, batch=arguments.batch)
  if jax.process_index():
    return
  if arguments.format == 'json':
    print(json.dumps({'stage': stage.name, 'folder': str(stage.folder), 'step': stage.step, 'checkpoint': stage.checkpoint, 'scores': scores}, indent=1))
  elif judge is None:
    if judged := [task.name for task in evaluation.selected() if isinstance(task, Instructions)]:
      show_line(f'{", ".join(judged)}: answers are kept; a judge scores them: --against=STAGE_FOLDER --judge=MODEL')
    show_tasks(stage.folder.name, {without_prefix(name): found for name, found in scores.items()}, sys.stdout)


def _evaluate_step(arguments: argparse.Namespace, evaluators: list) -> None:
  from codemix.studies.load_stage import load_step
  from codemix.studies.step_evaluation import evaluate_saved_step

  folder = as_path(arguments.folder)
  scores = evaluate_saved_step(load_step(folder, arguments.step), evaluators, batch=arguments.batch)
  _show_step(arguments, folder, arguments.step, scores)


def _is_end(arguments: argparse.Namespace) -> bool:
  """Whether --step is that of the finished stage, whose results have a place of their own."""
  from codemix.training.stage_record import read_done

  folder = as_path(arguments.folder)
  return (folder / 'done.json').exists() and read_done(folder)['step'] == arguments.step


def _watch(arguments: argparse.Namespace, evaluators: list) -> None:
  from codemix.studies.watch import watch

  show = lambda folder, step, scores: _show_step(arguments, folder, step, scores)
  watch(as_path(arguments.folder), evaluators, show, arguments.watch_every or WATCH_EVERY_S, arguments.watch_timeout, arguments.batch)


def _show_step(arguments: argparse.Namespace, folder: Path, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
  import jax

  from codemix.studies.show_tasks import show_tasks, without_prefix

  if jax.process_index():
    return
  if arguments.format == 'json':
    print(json.dumps({'folder': str(folder), 'step': step, 'scores': scores}), flush=True)
  else:
    show_tasks(f'{folder.name}, step {step:,}', {without_prefix(name): found for name, found in scores.items()}, sys.stdout)


def _evaluate_study(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  if not experiment.study.validation and not experiment.study.evaluate:
    raise UserError(
      "Study.validation names no source and Study.evaluate no benchmark; write Study.validation = ('local_text', 'local_code') or Study.evaluate = ('piqa',), say."
    )
  if arguments.contamination:
    from codemix.contamination.clean import read_result

    read_result(as_path(arguments.contamination))  # before anything is scored for hours

  from codemix.studies.preparation import prepare_in_own_process
  from codemix.studies.runner import evaluate_finished
  from codemix.studies.show_tasks import show_tasks

  prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  set_up_jax(experiment.runtime)
  results = evaluate_finished(experiment.study, experiment.data, experiment.runtime, arguments.stage)
  if arguments.contamination:
    from codemix.contamination.clean_scores import clean_scores

    for folder, result in results.items():
      result['clean'] = clean_scores(as_path(folder), result['sources'], as_path(arguments.contamination))
    clean_of_tasks, reasons = _clean_tasks(results, as_path(arguments.contamination))
    for folder, found in clean_of_tasks.items():
      results[folder]['clean_tasks'] = found
    for reason in reasons:
      show_line(f'no clean scores: {reason}')
  if arguments.format == 'json':
    print(json.dumps(results, indent=1))
    return
  for folder, result in results.items():
    print(folder)
    for name, score in result['sources'].items():
      print(f'  {name}: {_scores(score)}')
      if clean := result.get('clean', {}).get(name):
        left_out = f'{count(clean["left_out"], "document")} left out'
        print(f'    clean: {_scores(clean) if clean["documents"] else "no document"}, {left_out}')
    show_tasks('', result['tasks'], sys.stdout)
    for name, clean in result.get('clean_tasks', {}).items():
      score = f'{clean["score"]:.1%}' if 'score' in clean else 'not scored'
      print(f'  {name}, clean: {score}, {count(clean["items"], "item")}, {clean["left_out"]:,} left out')


def _clean_tasks(results: Mapping[str, dict], contamination: Path) -> tuple[dict[str, dict], list[str]]:
  """Scores of benchmarks on their clean items, by the stage's folder, and why some have none."""
  from codemix.contamination.clean_tasks import clean_task_scores
  from codemix.evaluation.results import read_results
  from codemix.evaluation.tasks.task import PREFIX

  stored = {folder: read_results(as_path(folder)) for folder in results}
  wanted = {
    as_path(folder).name: {name: found[f'{PREFIX}{name}'] for name in results[folder]['tasks']} for folder, found in stored.items()
  }
  clean, reasons = clean_task_scores(wanted, contamination)
  return {folder: clean.get(as_path(folder).name, {}) for folder in results}, reasons


def _scores(score: Mapping[str, float]) -> str:
  documents = count(score['documents'], 'document')
  if 'of_documents' in score:
    documents = f'{score["documents"]:,} of {count(score["of_documents"], "document")}'
  return (
    f'{score["bits_per_byte"]:.4f} bits per byte, {score["loss"]:.4f} nats a token, '
    f'{documents}, {score["tokens"]:,} tokens'
  )
