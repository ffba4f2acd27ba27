"""Failed units of a study, kept in its folder: `failed/KIND/STAGE.json`, with which a report and `--status` say why something is missing."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from codemix.errors import CodemixError, UserError
from codemix.storage import as_path, read_json, remove, write_json

FOLDER = 'failed'  # in a study's folder
_FORM = {'unit': str, 'error': str, 'exit_code': int, 'when': str}


@dataclasses.dataclass(frozen=True)
class Failure:
  """Why a unit failed, the last time that it was tried.

  Attributes:
    unit: its key.
    error: the message.
    exit_code: with which its process, or the study, ended.
    when: in UTC, as ISO 8601 writes it.
  """

  unit: str
  error: str
  exit_code: int
  when: str

  def __str__(self) -> str:
    return f'{self.error} (exit code {self.exit_code}, {self.when})'


def keep_failure(output: str | Path, place: str, unit: str, error: CodemixError) -> None:
  """Writes why a unit failed, in place of an earlier failure of it. Raises UserError if the folder cannot be written.

  Args:
    place: KIND/FOLDER, the folder being that of the stage's results (`codemix.studies.units.place_of`).
    unit: its key.
  """
  now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
  write_json(_file(output, place), dataclasses.asdict(Failure(unit, str(error), error.exit_code, now)))


def forget_failure(output: str | Path, place: str) -> None:
  """Removes what `keep_failure` wrote, if it is there."""
  remove(_file(output, place))


def read_failures(output: str | Path) -> dict[str, Failure]:
  """The failures in a study's folder, by place. Raises UserError if a file is damaged."""
  found = {}
  for file in sorted((as_path(output) / FOLDER).glob('*/*.json'), key=str):
    try:
      record = read_json(file, _FORM, 'Delete it.')
    except UserError:
      if file.exists():
        raise
      continue  # the unit has just succeeded
    found[f'{file.parent.name}/{file.name.removesuffix(".json")}'] = Failure(**{key: record[key] for key in _FORM})
  return found


def _file(output: str | Path, place: str) -> Path:
  return as_path(output) / FOLDER / f'{place}.json'
