"""The look into a bucket before machines are asked for is the one of the machines themselves."""

from __future__ import annotations

import dataclasses

import pytest

from codemix.commands.experiment import Experiment
from codemix.commands.launch_checks import require_buckets, require_ready
from codemix.errors import UserError
from codemix.storage import as_path
from tests import tiny_study

STUDY = tiny_study.study(text=tiny_study.recipe(tiny_study.stage('only', {'text': 1.0}, 3)))


def experiment(data, study=STUDY) -> Experiment:
  return Experiment(study, data, tiny_study.runtime('gs://bucket/out'), ('--gin_file=my.gin',), '', '', (), {})


def test_prepared_data_in_a_bucket_are_found_and_missing_ones_named(bucket):
  data = tiny_study.prepare(as_path(f'{bucket}/prepared'))
  require_ready(experiment(data), f'{bucket}/prepared')
  empty = dataclasses.replace(data, directory=f'{bucket}/empty')
  with pytest.raises(UserError, match=rf'not prepared in {bucket}/empty: text \(train\).*Run `codemix prepare --gin_file=my.gin` first'):
    require_ready(experiment(empty), f'{bucket}/empty')


@pytest.mark.parametrize(('start', 'fine'), [('/home/me/stage', False), ('runs/stage', False), ('gs://bucket/stage', True), (None, True)])
def test_the_start_of_a_recipe_is_in_a_bucket_too(start, fine, tmp_path):
  study = dataclasses.replace(STUDY, recipes={name: dataclasses.replace(recipe, start=start) for name, recipe in STUDY.recipes.items()})
  given = experiment(tiny_study.prepare(tmp_path), study)
  if fine:
    require_buckets(given, 'gs://bucket/data')
  else:
    with pytest.raises(UserError, match=f"Recipe.start is '{start}', a folder of this machine"):
      require_buckets(given, 'gs://bucket/data')
