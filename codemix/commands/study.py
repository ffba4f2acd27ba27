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


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  add_process_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  start_processes(arguments)

  import jax

  from codemix.parallel.mesh import make_mesh
  from codemix.report.write import write_report
  from codemix.studies.consistency import require_same_settings
  from codemix.studies.preflight import check_machine
  from codemix.studies.preparation import prepare_in_own_process, require_prepared
  from codemix.studies.runner import run_study

  set_up_jax(experiment.runtime)
  # run_study checks again; here it comes before preparing, which can take a day.
  check_machine(experiment.study, experiment.runtime, make_mesh(experiment.runtime.mesh))
  require_same_settings(experiment.study, experiment.data, experiment.runtime)
  if jax.process_count() > 1:  # chips would wait for a tokenizer
    require_prepared(experiment.study, experiment.data, experiment.gin_arguments)
  else:
    prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  output = run_study(experiment.study, experiment.data, experiment.runtime, experiment.command)
  if jax.process_index():
    return
  report = write_report(output)
  if arguments.format == 'json':
    print(json.dumps({'output': str(output), 'report': str(report)}))
  else:
    print(f'report: {report}')
