"""Two recipes that share a beginning; a loss of the second one can be made not finite."""

from __future__ import annotations

from typing import Any

from tests import spoiled, tiny_study

BEGINNING = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4)
SOUND = tiny_study.stage('sound', {'text': 0.9, 'code': 0.1}, 4)
SPOILED = tiny_study.stage('spoiled', {'text': 0.1, 'code': 0.9}, 7)
END = tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 2)
RECIPES = {'sound': tiny_study.recipe(BEGINNING, SOUND, END), 'spoiled': tiny_study.recipe(BEGINNING, SPOILED, END)}
STEP = 6  # of SPOILED, after its first checkpoint


def spoil(patch: Any) -> None:
  """Makes the loss of step STEP of SPOILED NaN.

  Args:
    patch: has `setattr(object, name, value)`, as pytest's MonkeyPatch.
  """
  spoiled.spoil(patch, {STEP: spoiled.NAN}, of_rows=7 * tiny_study.BATCH)
