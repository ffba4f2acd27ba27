"""`codemix study --pilot`: measures the noise of a study's scores on a few seeds of one arm."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING

from codemix.commands.experiment import Experiment, load_experiment, show_line, start_processes
from codemix.errors import UserError
from codemix.storage import as_path, write_text

if TYPE_CHECKING:
  from codemix.planner.forecast import Prices
  from codemix.studies.pilot import PilotPlan


def run(arguments: argparse.Namespace) -> None:
  """Runs the pilot, writes `pilot.gin`, and prints what the study can show.

  Raises CodemixError: that of the first unit that failed, after the others.
  """
  experiment = load_experiment(arguments, also=('Pilot', 'Power'))
  start_processes(arguments)

  import jax

  from codemix.commands.study import failures, make_ready
  from codemix.parallel.coordination import barrier
  from codemix.planner.forecast import Prices
  from codemix.studies.pilot import plan_pilot
  from codemix.studies.runner import try_pilot
  from codemix.training.loop import BARRIER_TIMEOUT_S

  plan = plan_pilot(experiment.study, experiment.also['Pilot'])
  prices = Prices(arguments.mfu or Prices().mfu, arguments.price)
  if not jax.process_index():
    _show_costs(plan, prices)
  make_ready(experiment)
  command = shlex.join(['codemix', 'study', *experiment.gin_arguments])
  outcome, record = try_pilot(experiment.study, plan.study, experiment.data, experiment.runtime, command, experiment.config)
  if not jax.process_index():
    if outcome.failed:
      for line in failures(outcome, experiment.command):
        show_line(line)
    else:
      _report(experiment, plan, record, prices, as_json=arguments.format == 'json')
  if outcome.failed:
    barrier('pilot', BARRIER_TIMEOUT_S)  # as after a report
  outcome.raise_first()


def _show_costs(plan: PilotPlan, prices: Prices) -> None:
  """Prints what is run, what it takes, and what it cannot know, before anything is prepared or trained."""
  from codemix.planner.costs import study_costs
  from codemix.planner.show_costs import show_costs
  from codemix.planner.show_pilot import warnings

  show_line(f"pilot: seeds {', '.join(map(str, plan.seeds))} of '{plan.arm}', up to stage {plan.stage[1]}, '{plan.stage[0]}'. What is trained already is not trained again")
  for line in warnings(plan):
    show_line(line)
  show_costs(study_costs(plan.study, prices), sys.stderr)


def _report(experiment: Experiment, plan: PilotPlan, record: dict, prices: Prices, as_json: bool) -> None:
  from codemix.planner.chips import CHIPS
  from codemix.planner.comparisons import plan_power
  from codemix.planner.costs import CHIP
  from codemix.planner.known_noise import unit_of
  from codemix.planner.pilot_file import NAME, pilot_file
  from codemix.planner.show_pilot import describe_components, show_components
  from codemix.planner.show_power import describe_power, show_power
  from codemix.report.pilot import pilot_components
  from codemix.report.results import study_of

  output = as_path(experiment.runtime.output)
  components = pilot_components(study_of(record, output, output / 'study.json'))
  units = {task: unit_of(experiment.study, task) for task in components}
  folders = [recipe['stages'][-1] for recipe in record['recipes'].values()]
  write_text(output / NAME, pilot_file(plan, components, units, folders))
  settings = experiment.also['Power']
  try:
    power, alone = plan_power(experiment.study, settings, {**settings.components, **components}, CHIPS[CHIP], prices), ''
  except UserError as error:  # a study of one arm has nothing to compare, and its noise is worth knowing all the same
    power, alone = None, str(error)
  if as_json:
    found = {'output': str(output), 'pilot': str(output / NAME), 'arm': plan.arm, 'seeds': list(plan.seeds), 'stage': plan.stage[0]}
    print(json.dumps({**found, 'components': describe_components(components, units), 'power': power and describe_power(power)}, indent=1), flush=True)
    return
  show_components(components, units, len(plan.seeds), sys.stdout)
  if power:
    print()
    show_power(power, sys.stdout)
  else:
    show_line(f'no comparison is planned: {alone}')
  print(f'noise: {output / NAME}, for `codemix plan --power --gin_file={output / NAME}` with the gin files of the study', flush=True)
