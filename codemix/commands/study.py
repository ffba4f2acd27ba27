"""`codemix study`."""

from __future__ import annotations

import argparse
import json

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  add_process_arguments,
  load_experiment,
  set_up_jax,
  start_processes,
)

PREPARE_TIMEOUT_S = 24 * 3600  # process 0 may tokenize for a day while the others wait


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  add_process_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  start_processes(arguments)

  import jax

  from codemix.parallel.mesh import make_mesh
  from codemix.parallel.processes import barrier
  from codemix.report.write import write_report
  from codemix.studies.consistency import require_same_settings
  from codemix.studies.preflight import check_machine
  from codemix.studies.preparation import prepare_in_own_process
  from codemix.studies.runner import run_study

  set_up_jax(experiment.runtime)
  # run_study asks again; here it comes before what may be a day of preparing.
  check_machine(experiment.study, experiment.runtime, make_mesh(experiment.runtime.mesh))
  require_same_settings(experiment.study, experiment.data, experiment.runtime)
  if not jax.process_index():
    prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  barrier('prepared', PREPARE_TIMEOUT_S)
  output = run_study(experiment.study, experiment.data, experiment.runtime, experiment.command)
  if jax.process_index():
    return
  report = write_report(output)
  if arguments.format == 'json':
    print(json.dumps({'output': str(output), 'report': str(report)}))
  else:
    print(f'report: {report}')
