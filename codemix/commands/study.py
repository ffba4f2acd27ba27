"""`codemix study`."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from codemix import formatting
from codemix.commands import study_pilot, study_status
from codemix.commands.experiment import (
  Experiment,
  add_format_argument,
  add_gin_arguments,
  add_process_arguments,
  load_experiment,
  set_up_jax,
  show_line,
  start_processes,
)
from codemix.storage import as_path

if TYPE_CHECKING:
  from codemix.studies.serial import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  add_process_arguments(parser)
  parser.add_argument('--unit', action='append', default=[], metavar='KIND/NAME', help='run this unit alone, such as train/balanced-1a2b3c4d, if those that it needs are done; may be repeated')
  parser.add_argument('--pilot', action='store_true', help='train a few seeds of one arm, measure the noise of its scores, and say what the study can show with its seeds')
  study_status.add_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  study_status.check(arguments)
  if arguments.status is not None:
    return study_status.show(arguments)
  if arguments.list_commands:
    return study_status.list_commands(arguments)
  if arguments.pilot:
    return study_pilot.run(arguments)
  run_units(arguments, arguments.unit)


def run_units(arguments: argparse.Namespace, wanted: Sequence[str]) -> None:
  """Runs a study.

  Raises CodemixError: that of the first unit that failed, after the others and the report.

  Args:
    wanted: names of units that alone are run; empty for all.
  """
  experiment = load_experiment(arguments)
  start_processes(arguments)

  import jax

  from codemix.parallel.coordination import barrier
  from codemix.studies.runner import try_study
  from codemix.training.loop import BARRIER_TIMEOUT_S

  make_ready(experiment, prepares=not _trains(wanted))
  # That of the whole study: a unit's own would not repeat it.
  command = shlex.join(['codemix', 'study', *experiment.gin_arguments]) if wanted else experiment.command
  outcome = try_study(experiment.study, experiment.data, experiment.runtime, command, wanted, experiment.config)
  if not jax.process_index():
    _show(outcome, experiment, as_json=arguments.format == 'json', whole=not wanted)
  if outcome.failed:
    barrier('report', BARRIER_TIMEOUT_S)  # the end of another process, with an error, would end this one while it writes
  outcome.raise_first()


def make_ready(experiment: Experiment, prepares: bool = True) -> None:
  """Checks the machine, and prepares what is missing.

  Args:
    prepares: with False, data that are not prepared are an error.
  """
  import jax

  from codemix.parallel.mesh import make_mesh
  from codemix.studies.consistency import require_same_settings
  from codemix.studies.preflight import check_machine
  from codemix.studies.preparation import prepare_in_own_process, require_prepared

  set_up_jax(experiment.runtime)
  # try_study checks again; here it comes before preparing, which can take a day.
  check_machine(experiment.study, experiment.runtime, make_mesh(experiment.runtime.mesh))
  require_same_settings(experiment.study, experiment.data, experiment.runtime)
  if jax.process_count() > 1 or not prepares:  # chips would wait for a tokenizer, or several units write one store
    require_prepared(experiment.study, experiment.data, experiment.gin_arguments)
  else:
    prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)


def _trains(wanted: Sequence[str]) -> bool:
  return any(not name.startswith('prepare/') for name in wanted)


def _show(outcome: Outcome, experiment: Experiment, as_json: bool, whole: bool) -> None:
  """Prints where results are and what failed; of a whole study it first writes the report."""
  from codemix.report.write import write_report

  found = {'output': experiment.runtime.output}
  if whole:
    found['report'] = str(write_report(as_path(experiment.runtime.output)))
  if outcome.failed:
    found |= {'failed': {key: str(error) for key, error in outcome.failed.items()}, 'left_out': dict(outcome.left_out)}
  if as_json:
    print(json.dumps(found), flush=True)
  elif 'report' in found:
    print(f'report: {found["report"]}', flush=True)
  for line in failures(outcome, experiment.command):
    show_line(line)


def failures(outcome: Outcome, command: str) -> Iterator[str]:
  """Lines that say which units failed, which were not run, and how to go on."""
  if not outcome.failed:
    return
  yield f'{formatting.count(len(outcome.failed), "unit")} failed:'
  yield from (f'  {key}: {error}' for key, error in outcome.failed.items())
  if outcome.left_out:
    yield 'not run, because they need one that failed:'
    yield from (f'  {key}' for key in outcome.left_out)
  yield f'The others are done. To try again: {command}'
