"""Keeps `study.json` and the report of a study when another study runs in its folder."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import as_path, make_folder, move, read_json, writing

REPORT_FILES = ('report.html', 'report.md', 'results.csv', 'scores.csv', 'claims.csv')
REPORT_FOLDER = 'report_files'  # pictures and tables of the report as files
RECORD = 'report.json'  # what the report was computed from, and what was written (`codemix.report.record`)
CONFIG = 'config.gin'  # the gin bindings that were in force
FORMER = 'former'  # the folder, within a study's, of the reports of studies that ran there before


def arm_digest(identities: Sequence[Mapping[str, Any]]) -> str:
  """Identifies a recipe except for its seed.

  Args:
    identities: of the recipe's stages, in order. `parent` is left out: the parent stands before the
      stage in the list, and its hash depends on the seed. That of the first stage is `Recipe.start`,
      which counts.
  """
  described = [{k: v for k, v in identity.items() if k not in ('seed', 'parent')} for identity in identities]
  start = identities[0].get('parent') if identities else None
  return digest([{**described[0], 'start': start}, *described[1:]] if start else described)


def keep_former(study_dir: Path | str, record: Mapping[str, Any]) -> str | None:
  """Moves the report of another study out of the way of the one that is about to be written.

  It is another study if a recipe has another name or other stages. Its report goes to
  `former/NAME-DIGEST/` with its `study.json`, so that two studies that take turns keep one each.
  `record` is what `study.json` will hold. Returns a message for the user; None if there is no
  report of another study.
  """
  folder = as_path(study_dir)
  if not (folder / 'report.html').is_file() or not (folder / 'study.json').is_file():
    return None
  try:
    before = read_json(folder / 'study.json')
    stages = _stages(before)
  except (UserError, AttributeError, KeyError, TypeError):
    return None  # not written by a study: the report is replaced
  if stages == _stages(record):
    return None
  name = str(before.get('name', 'study'))
  readable = re.sub(r'[^\w.-]', '-', name)[:60]
  kept = folder / FORMER / f'{readable}-{digest(stages)[:8]}'
  make_folder(kept)
  for file in (*REPORT_FILES, RECORD, CONFIG, 'study.json'):
    # A process that runs another unit of the new study may move the same files.
    with contextlib.suppress(FileNotFoundError):
      if (folder / file).is_file():
        with writing(kept):
          move(folder / file, kept / file)
  for file in sorted((folder / REPORT_FOLDER).rglob('*')):
    if file.is_file():
      to = kept / file.relative_to(folder)
      make_folder(to.parent)
      with contextlib.suppress(FileNotFoundError), writing(kept):
        move(file, to)
  return f"{folder} has the report of another study, '{name}' ({len(stages)} recipes): it is kept in {kept}"


def _stages(record: Mapping[str, Any]) -> dict[str, list[str]]:
  return {name: recipe['stages'] for name, recipe in record['recipes'].items()}
