"""`codemix train`: a study of one recipe, by the name that users of T5X look for."""

from __future__ import annotations

import argparse

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  add_process_arguments,
)
from codemix.commands.study import run_units


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  add_process_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  run_units(arguments, wanted=())
