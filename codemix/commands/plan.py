"""`codemix plan`."""

from __future__ import annotations

import argparse
import json
import os
import sys

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  show_line,
)
from codemix.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  parser.add_argument(
    '--topology', metavar='CHIP:SIDES', help='what to compile for: v5e:16x16, v6e:8x8, v5p:4x4x4, or cpu:8 for virtual devices; with --power, whose chip-hours are counted. Without it nothing is compiled: the tree of stages with tokens and chip-hours is reported'
  )
  parser.add_argument('--slices', type=int, default=1, metavar='N', help='the number of slices, joined by the data-center network')
  parser.add_argument('--mfu', type=float, default=0.4, metavar='SHARE', help='share of the peak that the chip-hours assume')
  parser.add_argument('--price', type=float, metavar='AMOUNT', help='of a chip-hour, in any currency')
  parser.add_argument('--memory', type=float, metavar='GIB', help='of a chip that a step may take, instead of all its memory')
  parser.add_argument('--power', action='store_true', help='report what differences the study can show with its seeds, and compile nothing')
  parser.add_argument('--pilot', metavar='DIR', help="the folder of an earlier study: --power takes the noise of its benchmarks and held-out sources where Power.components has none")
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> int:
  """Returns 2 if a step does not fit, else 0."""
  _check(arguments)
  if arguments.power:
    _power(arguments)
    return 0
  if not arguments.topology:
    _costs(arguments)
    return 0
  # A TPU host must not start its TPU: compiling needs none, and a run may be using it.
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  from codemix.parallel.topology import parse_topology, require_compiler

  topology = parse_topology(arguments.topology, arguments.slices)
  require_compiler(topology)
  experiment = load_experiment(arguments)

  from codemix.planner.chips import GIB
  from codemix.planner.describe import describe
  from codemix.planner.forecast import Prices, forecast
  from codemix.planner.show import show_forecast

  found = forecast(
    experiment.study,
    experiment.runtime,
    topology,
    Prices(arguments.mfu, arguments.price),
    memory_limit=int(arguments.memory * GIB) if arguments.memory else None,
    show=show_line,
  )
  if arguments.format == 'json':
    print(json.dumps(describe(found), indent=1))
  else:
    show_forecast(found, sys.stdout)
  return 0 if found.fits else UserError.exit_code


def _costs(arguments: argparse.Namespace) -> None:
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  from codemix.planner.costs import study_costs
  from codemix.planner.forecast import Prices
  from codemix.planner.show_costs import describe_costs, show_costs

  costs = study_costs(load_experiment(arguments).study, Prices(arguments.mfu, arguments.price))
  if arguments.format == 'json':
    print(json.dumps(describe_costs(costs), indent=1))
  else:
    show_costs(costs, sys.stdout)


def _power(arguments: argparse.Namespace) -> None:
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  from codemix.parallel.topology import parse_topology
  from codemix.planner.chips import CHIPS
  from codemix.planner.comparisons import plan_power
  from codemix.planner.forecast import Prices
  from codemix.planner.show_power import describe_power, show_power

  topology = parse_topology(arguments.topology, arguments.slices) if arguments.topology else None
  experiment = load_experiment(arguments, also=('Power',))
  settings = experiment.also['Power']
  components = dict(settings.components)
  if arguments.pilot:
    from codemix.report.pilot import pilot_components
    from codemix.report.results import read_study
    from codemix.storage import as_path

    components = pilot_components(read_study(as_path(arguments.pilot))) | components
  if not components:
    raise UserError(
      "--power: the noise of the scores is unknown. Give --pilot=DIR, an earlier study with two seeds an arm, or bind Power.components = {'winogrande': @winogrande/Components()} and winogrande/Components.seed = 0.89 (points)."
    )
  plan = plan_power(experiment.study, settings, components, topology and CHIPS.get(topology.chip), Prices(arguments.mfu, arguments.price))
  if arguments.format == 'json':
    print(json.dumps(describe_power(plan), indent=1))
  else:
    show_power(plan, sys.stdout)


def _check(arguments: argparse.Namespace) -> None:
  if arguments.pilot and not arguments.power:
    raise UserError('--pilot has no effect without --power: add it, or leave --pilot out.')
  if arguments.power and arguments.memory:
    raise UserError('--memory has no effect with --power, which compiles nothing: leave one of them out.')
  if not arguments.topology:
    for flag, given in (('--memory', arguments.memory), ('--slices', arguments.slices != 1)):
      if given:
        raise UserError(f'{flag} has no effect without --topology: give what to compile for, such as --topology=v5e:16x16 or --topology=cpu:8.')
  if not 0 < arguments.mfu <= 1:
    raise UserError(f'--mfu={arguments.mfu:g}: it is a share of the peak, above 0 and at most 1.')
  for name in ('price', 'memory'):
    value = getattr(arguments, name)
    if value is not None and not 0 < value < float('inf'):
      raise UserError(f'--{name}={value:g}: it is a number above 0.')
