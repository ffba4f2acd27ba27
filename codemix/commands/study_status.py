"""`codemix study --status` and `--list_commands`: what is left of a study, and the commands that do it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

from codemix.commands.experiment import Experiment, load_experiment, show_line
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.settings import Data
  from codemix.studies.outline import StageOutline
  from codemix.studies.planning import StudyPlan
  from codemix.studies.recipe import Study
  from codemix.studies.status import Left, Predict, UnitStatus
  from codemix.studies.unit_commands import UnitCommand


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '--status', nargs='?', const='', metavar='DIR', help='show the state of every unit, and run nothing; without gin flags, of the study in the folder DIR'
  )
  parser.add_argument('--topology', metavar='CHIP:SIDES', help='with --status: the chips whose published peak predicts what nothing was measured of, as for codemix plan')
  parser.add_argument('--mfu', type=float, metavar='SHARE', help='with --status: share of that peak; with --pilot: share of the peak of v5e that its chip-hours assume; by default 0.4')
  parser.add_argument('--price', type=float, metavar='AMOUNT', help='with --status: of a device-hour, in any currency; with --pilot: of a chip-hour')
  parser.add_argument('--list_commands', action='store_true', help='print the command of every unit that is not done, in an order in which they may run')


def check(arguments: argparse.Namespace) -> None:
  """Raises UserError for flags that do not go together."""
  asked = [f'--{name}' for name in ('status', 'list_commands', 'unit', 'pilot') if getattr(arguments, name) not in (None, False, [])]
  if len(asked) > 1:
    raise UserError(f'{asked[0]} and {asked[1]} are two things to do: give one of them.')
  for name in ('topology', 'mfu', 'price'):
    value = getattr(arguments, name)
    if value is not None and arguments.status is None and not (arguments.pilot and name != 'topology'):
      raise UserError(f'--{name} has no effect without --status: add it, or leave --{name} out.')
  if arguments.price is not None and not 0 < arguments.price < float('inf'):
    raise UserError(f'--price={arguments.price:g}: it is a number above 0.')
  if arguments.mfu is not None and not 0 < arguments.mfu <= 1:
    raise UserError(f'--mfu={arguments.mfu:g}: it is a share of the peak, above 0 and at most 1.')
  if arguments.mfu is not None and arguments.topology is None and not arguments.pilot:
    raise UserError('--mfu is a share of the peak of the chips of --topology: add that, or leave --mfu out.')
  if arguments.status and (arguments.gin_file or arguments.gin_bindings):
    raise UserError(f'--status={arguments.status} reads the study in that folder, so gin flags have no effect beside it: give one of them.')


def show(arguments: argparse.Namespace) -> None:
  """Prints the status of a study."""
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')  # a run may be using the accelerator
  from codemix.studies.show_status import describe_status, show_status

  name, units = _recorded(arguments) if arguments.status else _configured(load_experiment(arguments), _prediction(arguments))
  if arguments.format == 'json':
    print(json.dumps(describe_status(name, units, arguments.price), indent=1))
  else:
    show_status(name, units, arguments.price, sys.stdout)


def list_commands(arguments: argparse.Namespace) -> None:
  """Prints the command of every unit, and at last that of the report."""
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  experiment = load_experiment(arguments)
  commands = planned_commands(experiment)
  report = ['codemix', 'report', f'--output={experiment.runtime.output}']
  if commands is None:
    words = shlex.join(['codemix', 'prepare', *experiment.gin_arguments])
    show_line('the data are not prepared; with them the other units are known, whose names hold digests of the data.')
    print(json.dumps([{'unit': 'prepare', 'state': 'not begun', 'needs': [], 'command': words}], indent=1) if arguments.format == 'json' else words)
    return
  if arguments.format == 'json':
    last = {'unit': 'report', 'state': 'not begun', 'needs': [command.unit.key for command in commands], 'command': shlex.join(report)}
    print(json.dumps([*(command.describe() for command in commands), last], indent=1))
  else:
    print('\n'.join(shlex.join(words) for words in (*(command.words for command in commands if command.is_left), report)))


def planned_commands(experiment: Experiment) -> list[UnitCommand] | None:
  """The commands of the units of a study, done ones too; None if its data are not prepared."""
  from codemix.studies.planning import plan_study
  from codemix.studies.preparation import missing
  from codemix.studies.unit_commands import unit_commands
  from codemix.studies.units import units

  if missing(experiment.study, experiment.data):
    return None
  plan = plan_study(experiment.study, experiment.data)
  return unit_commands(units(plan), _planned(plan, experiment, _nothing_predicted), experiment.runtime.output, experiment.gin_arguments)


def _recorded(arguments: argparse.Namespace) -> tuple[str, list[UnitStatus]]:
  from codemix.studies.outline import recorded_study
  from codemix.studies.status import study_status

  study = recorded_study(arguments.status)
  return study.name, study_status(arguments.status, study.stages, study.evaluators, {}, _prediction(arguments))


def _configured(experiment: Experiment, predict: Predict) -> tuple[str, list[UnitStatus]]:
  from codemix.planner.outlines import outlines_before_preparing
  from codemix.studies.outline import evaluator_names
  from codemix.studies.planning import plan_study
  from codemix.studies.preparation import missing
  from codemix.studies.status import study_status

  study, output = experiment.study, experiment.runtime.output
  if not (lacking := missing(study, experiment.data)):
    plan = plan_study(study, experiment.data)
    return study.name, _planned(plan, experiment, predict)
  stages = outlines_before_preparing(study)
  splits = {f'{source}-{split}': (source, split) not in lacking for source, split in [*_read(study, experiment.data), *lacking]}
  return study.name, study_status(output, stages, evaluator_names(study), splits, predict)


def _planned(plan: StudyPlan, experiment: Experiment, predict: Predict) -> list[UnitStatus]:
  """The status of the units of a plan, which exists only of sources that are prepared."""
  from codemix.studies.outline import evaluator_names, planned_outlines
  from codemix.studies.status import study_status
  from codemix.studies.units import units

  output, stages = experiment.runtime.output, planned_outlines(plan, experiment.runtime.output)
  splits = {unit.name: True for unit in units(plan) if unit.kind == 'prepare'}
  return study_status(output, stages, evaluator_names(plan.study), splits, predict)


def _nothing_predicted(stage: StageOutline, steps: int) -> Left:
  from codemix.studies.status import UNKNOWN

  return UNKNOWN


def _read(study: Study, data: Data) -> list[tuple[str, str]]:
  """The splits that a study reads, as far as they are known without the saved rates of SeqIO mixtures."""
  from codemix.studies.preparation import splits_read
  from codemix.studies.seqio_mixtures import unsaved

  return [] if unsaved(study, data) else splits_read(study, data)


def _prediction(arguments: argparse.Namespace) -> Predict:
  """What stages take at an MFU of the chips of --topology."""
  if not arguments.topology:
    return _nothing_predicted
  from codemix.parallel.topology import parse_topology
  from codemix.planner.chips import CHIPS
  from codemix.planner.forecast import Prices
  from codemix.planner.roofline import chip_hours
  from codemix.studies.status import UNKNOWN, Left

  topology = parse_topology(arguments.topology)
  if topology.chip not in CHIPS:
    raise UserError(f'--topology={arguments.topology} has no published peak to predict from: give one of {", ".join(CHIPS)}, such as --topology=v5e:16x16.')
  mfu = arguments.mfu or Prices().mfu

  def predict(stage: StageOutline, steps: int) -> Left:
    if stage.shape is None:
      return UNKNOWN
    flops_per_token, tokens = stage.shape
    hours = chip_hours(steps * tokens * flops_per_token, CHIPS[topology.chip], mfu)
    return Left(3600 * hours / topology.chips, 3600 * hours)

  return predict
