"""Two recipes that share a beginning; a loss of the second one can be made not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import codemix
from codemix.errors import NonFiniteError
from tests import spoiled, tiny_study
from tests.in_process import use_one_device

BEGINNING = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4)
SOUND = tiny_study.stage('sound', {'text': 0.9, 'code': 0.1}, 4)
SPOILED = tiny_study.stage('spoiled', {'text': 0.1, 'code': 0.9}, 7)
END = tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 2)
RECIPES = {'sound': tiny_study.recipe(BEGINNING, SOUND, END), 'spoiled': tiny_study.recipe(BEGINNING, SPOILED, END)}
STUDY = tiny_study.study(**RECIPES)
STEP = 6  # of SPOILED, after its first checkpoint


def spoil(patch: Any) -> None:
  """Makes the loss of step STEP of SPOILED NaN.

  Args:
    patch: has `setattr(object, name, value)`, as pytest's MonkeyPatch.
  """
  spoiled.spoil(patch, {STEP: spoiled.NAN}, of=lambda rows: len(rows) == 7 * tiny_study.BATCH)


def fail(data: codemix.Data, output: Path) -> None:
  """Runs the study until one arm has failed and all else is done."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    spoil(patch)
    with pytest.raises(NonFiniteError, match=rf"stage 'spoiled', step {4 + STEP} is not finite"):
      codemix.run_study(STUDY, data, tiny_study.runtime(output))
