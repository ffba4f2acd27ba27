"""A gin file of two recipes that share their first stage: three units to train, for what runs units apart."""

from __future__ import annotations

from pathlib import Path

from tests import tiny_study
from tests.commands.test_wrong_input import GIN

STUDY = """
a/Recipe.stages = [@first/Stage(), @second/Stage()]
b/Recipe.stages = [@first/Stage(), @third/Stage()]
third/Stage.name = 'third'
third/Stage.mixture = {'code': 1.0}
Study.name = 'two'
Study.recipes = {'a': @a/Recipe(), 'b': @b/Recipe()}
Recipe.max_epochs = 1000.0
Runtime.save_every = 20
"""


def write(root: Path) -> Path:
  """Writes `study.gin` and the data into this folder."""
  tiny_study.prepare(root / 'data', bytes_each=6_000)
  (root / 'study.gin').write_text(GIN + STUDY)
  return root


def flags(root: Path, output: Path, *more: str) -> tuple[str, ...]:
  """What `codemix study` is called with; all runs of a root share one cache of compiled programs."""
  return (
    f'--gin_file={root / "study.gin"}',
    f"--gin.Data.directory='{root / 'data'}'",
    f"--gin.Runtime.output='{output}'",
    f"--gin.Runtime.compilation_cache='{root / 'cache'}'",
    *more,
  )
