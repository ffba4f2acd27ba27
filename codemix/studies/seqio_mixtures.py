"""A study with the tasks of its SeqIO mixtures in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.data.seqio import mixtures
from codemix.data.settings import Data
from codemix.errors import UserError
from codemix.studies.recipe import Study
from codemix.training.stage import Stage


def expand_study(study: Study, data: Data) -> Study:
  """The study with its SeqIO mixtures expanded by the rates that `codemix prepare` saved.

  Raises UserError as `mixtures.load_rates` does.
  """
  return _expanded(study, lambda name: mixtures.load_rates(name, data))


def unsaved(study: Study, data: Data) -> list[str]:
  """The SeqIO mixtures whose rates are not saved, or are older than their modules."""
  return [name for name in _names(study) if not _is_saved(name, data)]


def read_mixtures(study: Study, data: Data, save: bool) -> Study:
  """The study with its SeqIO mixtures expanded, by rates that are read from SeqIO's registry.

  Imports SeqIO and TensorFlow if it reads any. Raises UserError if there is no such mixture or a
  rate of it is not a number.

  Args:
    data: the modules that register the mixtures, and where rates are saved.
    save: whether all are read and saved; else only those are read that are not saved.
  """
  read = {}
  for name in _names(study) if save else unsaved(study, data):
    with suppress_stderr():
      from codemix.data.seqio.mixture_rates import read_rates
    read[name], modules = read_rates(name, data)
    mixtures.check_names(read[name], data)
    if save:
      mixtures.save_rates(name, read[name], modules, data)
  return _expanded(study, lambda name: read.get(name) or mixtures.load_rates(name, data))


def _names(study: Study) -> list[str]:
  stages = [stage for recipe in study.recipes.values() for stage in recipe.stages]
  trees = [tree for stage in stages for _, tree in stage.mixtures().knots]
  return list(dict.fromkeys(name for tree in trees for name in mixtures.named(tree)))


def _is_saved(name: str, data: Data) -> bool:
  try:
    mixtures.load_rates(name, data)
  except UserError:
    return False
  return True


def _expanded(study: Study, rates_of: Callable[[str], Mapping]) -> Study:
  recipes = {}
  for name, recipe in study.recipes.items():
    stages = tuple(_expanded_stage(stage, rates_of) for stage in recipe.stages)
    recipes[name] = recipe if stages == recipe.stages else dataclasses.replace(recipe, stages=stages)
  return dataclasses.replace(study, recipes=recipes)


def _expanded_stage(stage: Stage, rates_of: Callable[[str], Mapping]) -> Stage:
  schedule = stage.mixtures()
  if not any(mixtures.named(tree) for _, tree in schedule.knots):
    return stage
  knots = tuple((at, mixtures.expand(tree, rates_of)) for at, tree in schedule.knots)
  return dataclasses.replace(stage, mixture=dataclasses.replace(schedule, knots=knots))
