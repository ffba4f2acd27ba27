"""`codemix inspect --model`: parameters, FLOPs and memory of models; needs no data."""

from __future__ import annotations

import argparse
import json
import sys

from codemix import config
from codemix.commands.experiment import load_experiment, parse_gin
from codemix.studies.recipe import Recipe
from codemix.training.runtime import Runtime
from codemix.training.stage import Stage

LENGTH = 8192  # tokens of a row without a recipe: the paper's


def show_models(arguments: argparse.Namespace) -> None:
  """Prints parameters, FLOPs and memory of each model that the gin flags name.

  Raises UserError if they name no model, or it does not divide over the mesh.
  """
  recipes, runtime = recipes_of(arguments)

  from codemix.console import Console
  from codemix.parallel.mesh import make_mesh
  from codemix.studies.model_summary import describe_model, show_model

  mesh = make_mesh(runtime.mesh)
  found = [
    describe_model(*described, runtime.placement(mesh))
    for described in dict.fromkeys((r.model, r.optimizer, r.length) for r in recipes)
  ]
  if arguments.format == 'json':
    print(json.dumps(found, indent=1))
    return
  for summary in found:
    show_model(summary, Console(sys.stdout, width=120))


def recipes_of(arguments: argparse.Namespace) -> tuple[list[Recipe], Runtime]:
  """The recipes of the gin flags (for a model alone, one made up around it), and the runtime."""
  parse_gin(arguments)
  if config.is_bound('Study', 'recipes') or config.is_bound('Recipe', 'stages'):
    experiment = load_experiment(arguments)
    return list(experiment.study.recipes.values()), experiment.runtime
  runtime = config.build('Runtime')
  # A recipe needs stages; any will do here.
  given = {'stages': [Stage('any', 1.0, {'any': 1.0}, batch=1)]}
  if not config.is_bound('Recipe', 'model'):
    given['model'] = config.build('ModelConfig')
  if not config.is_bound('Recipe', 'length'):
    given['length'] = LENGTH
  recipe = config.build('Recipe', **given)
  config.check_used()
  return [recipe], runtime
