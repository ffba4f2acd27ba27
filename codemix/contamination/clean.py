"""Reads `contamination.json`: the items that the scan did not find in what a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codemix.contamination.result import ALL, FORMAT
from codemix.errors import UserError, nearest
from codemix.storage import read_json, require_form


def clean_items(path: Path, set_name: str, stage: str | None = None, below: float | None = None) -> list[str]:
  """The ids of the clean items of a set, including items that are too short to search for.

  Raises UserError if the file is missing or damaged, or has no such set or stage.

  Args:
    path: `contamination.json`.
    stage: the folder of the stage whose model is scored; what was consumed up to its end counts. None
      counts what any stage consumed.
    below: an item with this share or more is left out; None for the bound in the file.
  """
  return clean_in(read_result(path), path, set_name, stage, below)


def clean_in(result: dict, path: Path, set_name: str, stage: str | None = None, below: float | None = None) -> list[str]:
  """`clean_items` in a file that `read_result` has read."""
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
  'sets': [{'set': str, 'ids': [str], 'digest': {...: str}}],
  'items': [{'set': str, 'id': str, 'stages': {...: {'up to its end': {...: float}}}}],
}


def read_result(path: Path) -> dict:
  """Raises UserError if the file is missing, damaged or of another format."""
  result = read_json(path, fix=_AGAIN)
  if result.get('format') != FORMAT:
    raise UserError(f'{path} has another format than this `codemix contamination` writes; run it again.')
  require_form(result, _FORM, path, _AGAIN)
  stages = {stage['stage']: dict for stage in result['stages']}
  require_form({'items': result['items']}, {'items': [{'stages': stages}]}, path, _AGAIN)
  return result


def find_set(result: dict, name: str, path: Path) -> dict:
  """Raises UserError if the file has no such set."""
  sets: Iterable[dict] = result['sets']
  for described in sets:
    if described['set'] == name:
      return described
  raise UserError(f"{path} has no set '{name}'.{nearest(name, [s['set'] for s in sets])}")
