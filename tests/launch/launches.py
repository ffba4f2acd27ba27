"""Runs with everything that a specification may have, and names that a careless script would run or drop."""

from __future__ import annotations

from codemix.launch import xla_flags
from codemix.launch.accelerators import Gpus, Tpus
from codemix.launch.specification import Specification

HOSTILE = ("--gin.Study.note='$(touch hacked) `touch hacked` \"; touch hacked; # $HOME {x} %h'", "--gin.Study.name='a\\'b'")
FILES = {"my runs/it's $(touch hacked).gin": "# `touch hacked` $HOME\nEND_OF_FILE\nRecipe.seed = 1", 'plain.gin': "include 'recipes/balanced_to_text.gin'\n"}
IMAGE = 'europe-docker.pkg.dev/lab/codemix/codemix:1'


def slices(**changes) -> Specification:
  """Two slices of v5e-256 on spot machines."""
  machines = Tpus('v5e', (16, 16), 2)
  given = {
    'name': 'run',
    'accelerators': machines,
    'gin_arguments': ('--gin_file=plain.gin', *(f'--gin_file={name}' for name in FILES if name != 'plain.gin'), *HOSTILE),
    'files': FILES,
    'environment': xla_flags.environment(machines.flag_set),
    'spot': True,
  }
  return Specification(**(given | changes))


def nodes(**changes) -> Specification:
  """Four nodes of eight H100, with a secret."""
  return slices(**({'accelerators': Gpus('h100', 8, 4), 'environment': xla_flags.environment('h100'), 'secrets': ('HF_TOKEN',), 'spot': False} | changes))
