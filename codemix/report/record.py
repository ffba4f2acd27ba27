"""`report.json`: from which files, of which units, each table of a report was computed, and what was written.

With it `codemix verify` computes the report again, and tells a report that was altered from one that is older than its units.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.evaluation.results import FOLDER as EVALUATION
from codemix.evaluation.results import SAMPLES
from codemix.identity import as_read, digest
from codemix.report.content import Content
from codemix.report.inputs import STAGES, FileContent
from codemix.report.margins import Margins
from codemix.storage import read_json, write_json
from codemix.studies.study_record import RECORD, REPORT_FOLDER

FORMAT = 1
_FOLDERS = tuple(f'{REPORT_FOLDER}/{part}' for part in ('figures', 'tables', 'data'))  # of files of the report
_PACKAGES = ('codemix', 'numpy', 'pandas', 'scipy', 'matplotlib', 'jinja2')
_CONTENT = {'sha256': str, 'bytes': int}
_RESULT = {'identity': str, 'digest': str}
_UNIT = {
  'hash': str | None, 'finished': bool, 'checkpoint': str | None, 'ledger': str | None,
  'files': {...: _CONTENT}, 'evaluations': {...: _RESULT},
}  # fmt: skip
_FORM = {
  'format': int, 'study': str, 'run': str | None, 'written_by': {...: str}, 'files': {...: _CONTENT}, 'units': {...: _UNIT},
  'tables': {...: [str]}, 'margins': {'points': int | float | None, 'percent': int | float | None}, 'outputs': {...: _CONTENT}, 'digest': str,
}  # fmt: skip

# What each table is computed from: kinds of files, as `kind_of` names them. `report.html#ID` is a section of the page, and of the same
# heading in report.md.
_PLAN = ('study', 'plan', 'metrics', 'ledger')
_SCORED = (*_PLAN, 'held_out')
TABLES = {
  'results.csv': (*_SCORED, 'results'),
  'scores.csv': ('study', 'plan', 'held_out', 'tasks', 'judge', 'results'),
  'claims.csv': (*_SCORED, 'tasks', 'claims'),
  'report.html#claims': (*_SCORED, 'tasks', 'claims'),
  'report.html#outcome': (*_SCORED, 'tasks'),
  'report.html#recipes': _PLAN,
  'report.html#results': _SCORED,
  'report.html#benchmarks': (*_PLAN, 'held_out', 'tasks', 'judge', 'contamination'),
  'report.html#paper': (*_SCORED, 'tasks', 'judge'),
  'report.html#training': (*_PLAN, 'times'),
  'report.html#data': _PLAN,
  'report.html#tree': (*_PLAN, 'times', 'results'),
  'report.html#samples': ('study', 'samples'),
  'report.html#repeat': ('study',),
  REPORT_FOLDER: (*_SCORED, 'tasks', 'judge', 'results', 'times', 'claims'),
}


@dataclasses.dataclass(frozen=True)
class Record:
  """What `report.json` says.

  Attributes:
    study: its name.
    run: the date in its `study.json`.
    written_by: versions of packages.
    inputs: every file that the report was computed from, by its path in the study's folder.
    units: what each stage's folder held: `hash`, `finished`, digests of its `checkpoint` and `ledger`, and of its `evaluations`.
    margins: what was taken for no difference.
    outputs: what was written, by name.
  """

  study: str
  run: str | None
  written_by: Mapping[str, str]
  inputs: Mapping[str, FileContent]
  units: Mapping[str, Mapping[str, Any]]
  margins: Margins
  outputs: Mapping[str, FileContent]


def write_record(study_dir: Path, report: Content, inputs: Mapping[str, FileContent], outputs: Mapping[str, bytes]) -> None:
  """Writes report.json; the same study and report give the same bytes.

  Args:
    inputs: of `read_inputs`, from before the study was read: what a stage logs in between makes the report older than its unit.
    outputs: the content of the files of the report, by name.
  """
  stages: dict[str, dict[str, FileContent]] = {}
  for name, content in inputs.items():
    if name.startswith(f'{STAGES}/'):
      _, stage, below = name.split('/', 2)
      stages.setdefault(stage, {})[below] = content
  record = {
    'format': FORMAT,
    'study': report.study.name,
    'run': _text(report.study.provenance.get('date')),
    'written_by': versions(),
    'files': {name: dataclasses.asdict(content) for name, content in inputs.items() if not name.startswith(f'{STAGES}/')},
    'units': {stage: _unit(study_dir / STAGES / stage, files) for stage, files in stages.items()},
    'tables': {name: list(kinds) for name, kinds in _tables_in(outputs).items()},
    'margins': dataclasses.asdict(report.margins),
    'outputs': {name: dataclasses.asdict(FileContent.of(data)) for name, data in outputs.items()},
  }
  write_json(study_dir / RECORD, {**record, 'digest': digest(as_read(record))})


def read_record(study_dir: Path) -> Record | None:
  """None without the file. Raises UserError if it is damaged, was changed, or is of a later codemix."""
  path = study_dir / RECORD
  if not path.is_file():
    return None
  fix = '`codemix report` writes the report again.'
  found = read_json(path, {'format': int}, fix)
  if found['format'] != FORMAT:
    raise UserError(f'{path} has format {found["format"]}, which this version of codemix does not know. {fix}')
  found = read_json(path, _FORM, fix)
  if found['digest'] != digest({key: value for key, value in found.items() if key != 'digest'}):
    raise UserError(f'{path} was changed after it was written: its digest is not that of its content. {fix}')
  for name in (*found['units'], *found['outputs']):
    folder, between, file = name.rpartition('/')
    if file in ('', '.', '..') or (between and not (name in found['outputs'] and folder in _FOLDERS)):
      raise UserError(f'{path} is damaged: {name!r} is not the name of a file. {fix}')
  inputs = dict(found['files'])
  for stage, unit in found['units'].items():
    inputs |= {f'{STAGES}/{stage}/{name}': content for name, content in unit['files'].items()}
  contents = lambda files: {name: FileContent(content['sha256'], content['bytes']) for name, content in files.items()}
  return Record(found['study'], found['run'], found['written_by'], contents(inputs), found['units'], Margins(**found['margins']), contents(found['outputs']))


def versions() -> dict[str, str]:
  """Of what computes and draws a report."""
  return {package: importlib.metadata.version(package) for package in _PACKAGES}


def kind_of(name: str) -> str:
  """What a file of `read_inputs` holds, as `TABLES` names it."""
  if not name.startswith(f'{STAGES}/'):
    return {'claims.json': 'claims', 'contamination.json': 'contamination'}.get(name, 'study')
  _, _, *below = name.split('/')
  if below[0] == EVALUATION and len(below) > 1:
    evaluator = below[3:] if below[1] == 'steps' else below[1:]
    first = evaluator[0].partition('.')[0] if evaluator else ''
    return first if first in ('held_out', 'tasks', 'judge', SAMPLES) else 'results'
  of_file = {'metrics.jsonl': 'metrics', 'timing.jsonl': 'times', 'time.jsonl': 'times', 'ledger.json': 'ledger', 'done.json': 'ledger', 'samples.json': SAMPLES, 'evaluation.json': 'held_out'}
  return of_file.get(below[0], 'plan')


def tables_of(name: str, record: Record) -> tuple[str, ...]:
  """The tables of a report that are computed from a file of `read_inputs`."""
  kind = kind_of(name)
  return tuple(table for table, kinds in _tables_in(record.outputs).items() if kind in kinds)


def _tables_in(outputs: Iterable[str]) -> dict[str, tuple[str, ...]]:
  """Those of `TABLES` that a report of these files has."""
  files = {name.partition('/')[0] for name in outputs}
  absent = set() if 'claims.csv' in files else {'report.html#claims'}
  return {table: kinds for table, kinds in TABLES.items() if table.partition('#')[0] in files and table not in absent}


def _unit(folder: Path, files: Mapping[str, FileContent]) -> dict:
  done = _read(folder / 'done.json')
  results = {name.removeprefix(f'{EVALUATION}/').removesuffix('.json'): _read(folder / name) for name in files if name.startswith(f'{EVALUATION}/') and name.endswith('.json')}
  return {
    'hash': _text(_read(folder / 'stage.json').get('hash')),
    'finished': bool(done),
    'checkpoint': _text(done.get('checkpoint')),
    'ledger': _text(done.get('ledger')),
    'files': {name: dataclasses.asdict(content) for name, content in files.items()},
    'evaluations': {name: {'identity': digest(result.get('identity')), 'digest': _text(result.get('digest')) or ''} for name, result in results.items()},
  }


def _text(value: object) -> str | None:
  return value if isinstance(value, str) else None


def _read(path: Path) -> dict:
  """A JSON file; {} if it is missing or damaged, which whoever reads the study says."""
  with contextlib.suppress(UserError):
    return read_json(path)
  return {}
