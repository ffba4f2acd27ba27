"""Reads `contamination.json`: the items that a model was not trained on, as far as the scan can tell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codemix.contamination.result import ALL, FORMAT
from codemix.errors import UserError, nearest
from codemix.files import read_json, require_form


def clean_items(path: Path, set_name: str, stage: str | None = None, below: float | None = None) -> list[str]:
  """The ids of the clean items of a set.

  Items that are too short to tell are among them.

  Args:
    path: of `contamination.json`.
    set_name: the set.
    stage: the folder of the stage whose model is scored; what was consumed up
      to its end counts. None counts what any stage consumed.
    below: the share from which an item is left out; None for the file's own.

  Raises:
    UserError: the file is missing or damaged, or has no such set or stage.
  """
  result = read_result(path)
  described = find_set(result, set_name, path)
  names = [s['stage'] for s in result['stages']]
  if stage is not None and stage not in names:
    raise UserError(f"{path} was made for other stages than '{stage}': {', '.join(names)}. Run `codemix contamination` again.")
  bound = result['settings']['clean'] if below is None else below
  left_out = {item['id'] for item in result['items'] if item['set'] == set_name and _share(item, stage) >= bound}
  return [id for id in described['ids'] if id not in left_out]


def _share(item: dict, stage: str | None) -> float:
  stages = item['stages'].values() if stage is None else [item['stages'][stage]]
  return max((s['up to its end'].get(ALL, 0.0) for s in stages), default=0.0)


_AGAIN = 'Run `codemix contamination` again.'
_FORM = {
  'settings': {'clean': float},
  'stages': [{'stage': str}],
  'sets': [{'set': str, 'ids': list}],
  'items': [{'set': str, 'id': str, 'stages': {...: {'up to its end': {...: float}}}}],
}


def read_result(path: Path) -> dict:
  """Raises UserError where the file is missing, damaged or of another format."""
  result = read_json(path, fix=_AGAIN)
  if result.get('format') != FORMAT:
    raise UserError(f'{path} is not what this `codemix contamination` writes; run it again.')
  require_form(result, _FORM, path, _AGAIN)
  return result


def find_set(result: dict, name: str, path: Path) -> dict:
  """Raises UserError where the set was not looked for."""
  sets: Iterable[dict] = result['sets']
  for described in sets:
    if described['set'] == name:
      return described
  raise UserError(f"{path} has no set '{name}'.{nearest(name, [s['set'] for s in sets])}")
