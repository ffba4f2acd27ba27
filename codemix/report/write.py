"""`codemix report`: a study's folder becomes report.html, report.md and results.csv within it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.files import make_folder, read_json, write_text, writing
from codemix.identity import digest
from codemix.report import gather, html, markdown
from codemix.report.results import read_study

FILES = ('report.html', 'report.md', 'results.csv')
FORMER = 'former'  # the folder, within a study's, of the reports of studies that were run there before


def keep_former(study_dir: Path | str, record: Mapping[str, Any]) -> str | None:
  """Moves the report of another study out of the way of the one that is about to be written.

  It is another study where a recipe has another name or other stages. The report goes to
  `former/NAME-DIGEST/` with its `study.json`, so that two studies that take turns keep one each.

  Args:
    record: what `study.json` will hold.

  Returns:
    What to tell the user; None where there is no other study's report.
  """
  folder = Path(study_dir)
  if not (folder / 'report.html').is_file() or not (folder / 'study.json').is_file():
    return None
  try:
    before = read_json(folder / 'study.json')
    stages = {name: recipe['stages'] for name, recipe in before['recipes'].items()}
  except (UserError, AttributeError, KeyError, TypeError):
    return None  # not a study's; the report that is there is replaced with it
  if stages == {name: recipe['stages'] for name, recipe in record['recipes'].items()}:
    return None
  name = str(before.get('name', 'study'))
  kept = folder / FORMER / f'{"".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60]}-{digest(stages)[:8]}'
  make_folder(kept)
  for file in (*FILES, 'study.json'):
    if (folder / file).is_file():
      with writing(kept):
        os.replace(folder / file, kept / file)
  return f"{folder} has the report of another study, '{name}' ({len(stages)} recipes): it is kept in {kept}"


def write_report(study_dir: Path | str) -> Path:
  """Writes the three files of the report into `study_dir`; a study that is half done is no error.

  The same folder gives the same bytes. An older report is replaced file by file, each whole;
  `keep_former` keeps that of another study.

  Returns:
    The path of report.html, a single file that opens offline.

  Raises:
    UserError: the folder is not that of a study, a file of it is damaged, stages were evaluated on different
      documents, or the report cannot be written there.
  """
  folder = Path(study_dir)
  content = gather.gather(read_study(folder))
  write_text(folder / 'results.csv', content.results.to_csv(index=False, lineterminator='\n'))
  write_text(folder / 'report.md', markdown.render(content))
  write_text(folder / 'report.html', html.render(content))
  return folder / 'report.html'
