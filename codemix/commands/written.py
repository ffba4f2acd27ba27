"""Finds token stores, stages, local corpora, registered claims and reports below the folders of a command line."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from codemix.data.raw.local_files import folders
from codemix.data.store.shard_writer import DRAFTS
from codemix.errors import UserError, nearest
from codemix.storage import as_path, is_remote, read_json
from codemix.studies.study_record import RECORD, REPORT_FILES

STORE, STAGE, CORPORA, CLAIMS, REPORT = 'token store', 'stage', 'local corpora', 'registered claims', 'report'


def find_written(named: Sequence[str], kinds: Sequence[str] = (STORE, STAGE, CORPORA, CLAIMS, REPORT)) -> list[tuple[str, Path]]:
  """(kind, folder) of everything of these kinds at or below these folders, each once.

  An unfinished token store, without `manifest.json`, counts too. A report is also found by one of its files, which then is the
  path in place of the folder. Raises UserError if a folder has
  nothing of these kinds, with what it has or the nearest.
  """
  return list(dict.fromkeys(found for folder in map(as_path, named) for found in _in(folder, kinds)))


def _in(folder: Path, kinds: Sequence[str]) -> list[tuple[str, Path]]:
  if REPORT in kinds and is_report(folder) and not folder.is_dir():
    return [(REPORT, folder)]
  below = _below(folder) if folder.is_dir() else []
  found = [(kind, path) for path in below if (kind := _kind(path)) and path.name != DRAFTS]
  found += [(REPORT, path) for path in below if is_report(path)]
  if of_these := [one for one in found if one[0] in kinds]:
    return of_these
  if found:
    raise UserError(f'{folder} holds no {" and no ".join(kinds)}, but the {found[0][0]} {found[0][1]}.')
  raise UserError(f'{folder} {_why_nothing(folder, kinds)}')


def _below(folder: Path) -> list[Path]:
  """The folder and those below it; of a bucket only those that hold one of the files that `_kind` looks for."""
  if is_remote(folder):
    return sorted({path.parent for name in ('stage.json', 'manifest.json', 'shard-*.json', 'claims.json', 'study.json', RECORD, REPORT_FILES[0]) for path in folder.rglob(name)})
  return sorted(map(Path, folders(str(folder))))


def _kind(folder: Path) -> str | None:
  if (folder / 'stage.json').exists():
    return STAGE
  if (folder / 'manifest.json').exists():
    return CORPORA if _holds_corpora(folder) else STORE
  if has_claims(folder):
    return CLAIMS
  begun = (path for pattern in ('shard-*.json', f'{DRAFTS}/shard-*.json') for path in folder.glob(pattern))
  return STORE if any(begun) else None


def is_report(path: Path) -> bool:
  """Whether a folder holds a report of a study, or a file is one of such a report, by its name."""
  if path.name in (*REPORT_FILES, RECORD) and path.is_file():
    return (path.parent / RECORD).exists() or (path.parent / 'study.json').exists()
  return (path / RECORD).exists() or ((path / REPORT_FILES[0]).exists() and (path / 'study.json').exists())


def has_claims(folder: Path) -> bool:
  """Whether it is the output folder of studies with claims, or of one that says so."""
  if (folder / 'claims.json').exists():
    return True
  with contextlib.suppress(UserError):  # the report says what is wrong with it
    return (folder / 'stages').is_dir() and (folder / 'study.json').exists() and 'claims' in read_json(folder / 'study.json')
  return False


def _holds_corpora(folder: Path) -> bool:
  with contextlib.suppress(UserError):  # one that is damaged
    return 'corpora' in read_json(folder / 'manifest.json')
  return folder.name == 'corpora'


def _why_nothing(folder: Path, kinds: Sequence[str]) -> str:
  if above := next((above for above in folder.absolute().parents if _kind(above) not in (None, CLAIMS)), None):
    return f'is a part of the {_kind(above)} {above}: name that.'
  beside = [path for path in folder.absolute().parent.glob('*') if path.is_dir()]
  if not folder.exists():
    return f'does not exist.{nearest(folder.name, [path.name for path in beside])}'
  if not folder.is_dir():
    return f'is a file: name the folder of a {" or ".join(kinds)}, or one with such in it.'
  inside = ', '.join(sorted(path.name for path in folder.iterdir())[:5]) or 'nothing'
  near = next((f' There is {path} beside it.' for path in beside if path.name in ('stages', 'stores')), '')
  where = 'Name a folder that `codemix prepare` printed, or the output folder of `codemix train`.'
  return f'holds no {" and no ".join(kinds[:2])}, but {inside}.{near} {where}'
