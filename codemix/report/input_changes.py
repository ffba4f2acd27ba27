"""What happened to the files that a report was computed from: they were altered, they are gone, or their units went on.

Files whose units went on carry digests of their own that hold, and say so by what they are of: another checkpoint, other settings, more
steps. A report of such units is stale. What says something else of the same thing was altered.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from codemix.errors import UserError
from codemix.evaluation.results import FOLDER as EVALUATION
from codemix.identity import digest
from codemix.report.inputs import LOGS, STAGES, STUDY, FileContent, read_inputs
from codemix.report.record import Record, tables_of
from codemix.storage import read_json
from codemix.studies.claim_register import check_claims
from codemix.training.sealed_files import content_of

ALTERED, MISSING, STALE = 'altered', 'missing', 'stale'
Kind = Literal['altered', 'missing', 'stale']


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something that is not as it was when a report was written.

  Attributes:
    place: a file in the study's folder; with the row and column, if it is one of the report.
    says: what happened, in a clause.
    tables: that are computed from the file.
  """

  kind: Kind
  place: str
  says: str
  tables: tuple[str, ...] = ()

  def __str__(self) -> str:
    used = f' (in {", ".join(self.tables)})' if self.tables and self.kind != STALE else ''
    return f'{self.place} {self.says}{used}'


def input_findings(study_dir: Path, record: Record, study_file: Path) -> list[Finding]:
  """One for each file that is not the one that the report was computed from; of a stage that is gone, or new, one in all.

  Args:
    study_dir: where the units are.
    study_file: the `study.json` of the report.
  """
  now = read_inputs(study_dir, list(record.units), study_file)
  found = [*_broken_units(study_dir, record)]
  broken = {finding.place for finding in found}
  gone = {stage for stage in record.units if not (study_dir / STAGES / stage).is_dir()}
  new = dict.fromkeys(stage for name in now if (stage := _stage(name)) and stage not in record.units)
  found += [Finding(MISSING, f'{STAGES}/{stage}', 'is missing: the unit that figures were computed from') for stage in gone]
  found += [Finding(STALE, f'{STAGES}/{stage}', 'has come since') for stage in new]
  went_on = {stage for stage in record.units if stage not in gone and _went_on(study_dir, stage, record, now)}
  for name in sorted({*record.inputs, *now}):
    before, after = record.inputs.get(name), now.get(name)
    if before == after or _stage(name) in (*gone, *new) or name in broken:
      continue
    kind, says = _change_of_study(study_file, record) if name == STUDY and after else _change(study_dir, name, record, before, after, went_on)
    found.append(Finding(kind, name, says, tables_of(name, record)))
  return found


def _broken_units(study_dir: Path, record: Record) -> Iterator[Finding]:
  """Units whose own digests do not hold."""
  from codemix.studies.verify import check_unit  # loads JAX

  for stage in record.units:
    folder = study_dir / STAGES / stage
    if not (folder / 'stage.json').exists():
      continue
    try:
      check_unit(folder)
    except UserError as error:
      name = _named_in(str(error), study_dir, [name for name in record.inputs if _stage(name) == stage]) or f'{STAGES}/{stage}'
      yield Finding(ALTERED, name, f'is not as it was written: {error}', tables_of(name, record) if name in record.inputs else ())


def _named_in(message: str, study_dir: Path, names: list[str]) -> str | None:
  """The file that a message is about."""
  return next((name for name in sorted(names, key=len, reverse=True) if str(study_dir / name) in message), None)


def _change(study_dir: Path, name: str, record: Record, before: FileContent | None, after: FileContent | None, went_on: set[str]) -> tuple[Kind, str]:
  stage = _stage(name)
  if name.startswith('failed/'):
    return STALE, 'is of a unit that was tried again since'
  if before is None:
    return STALE, 'has come since'
  if after is None:
    return (STALE, 'is gone: its unit was run again') if stage in went_on else (MISSING, 'is missing')
  if name == 'claims.json':
    return _change_of_claims(study_dir)
  if stage is None:
    return ALTERED, 'was changed, or written again, after the report'
  if name.startswith(f'{STAGES}/{stage}/{EVALUATION}/'):
    return _change_of_results(study_dir, name, record)
  grew = name.endswith(LOGS) and _begins_with(study_dir / name, before)
  if stage in went_on:
    return STALE, 'went on since' if grew else 'is of a stage that went on since'
  if grew and name.endswith('time.jsonl'):
    return STALE, 'went on since'
  return ALTERED, 'was changed after the report was written'


def _went_on(study_dir: Path, stage: str, record: Record, now: Mapping[str, FileContent]) -> bool:
  """Whether a stage was trained further, or again, since."""
  folder, before = f'{STAGES}/{stage}', record.units[stage]
  if before['finished']:
    done = _read(study_dir / folder / 'done.json')
    return done.get('checkpoint') != before['checkpoint']
  metrics = f'{folder}/metrics.jsonl'
  known = record.inputs.get(metrics)
  if known is None:
    return metrics in now
  after = now.get(metrics)
  # It is cut back to the checkpoint that a process resumes from.
  return after is None or after.bytes < known.bytes or (after != known and _begins_with(study_dir / metrics, known))


def _begins_with(path: Path, before: FileContent) -> bool:
  """Whether a log has grown: what it was is its beginning."""
  content = content_of(path) or b''
  return len(content) > before.bytes and hashlib.sha256(content[: before.bytes]).hexdigest() == before.sha256


def _change_of_study(study_file: Path, record: Record) -> tuple[Kind, str]:
  """`codemix study` dates every study.json that it writes, so one of the same date was changed by something else."""
  provenance = _read(study_file).get('provenance')
  if isinstance(provenance, dict) and provenance.get('date') == record.run:
    return ALTERED, 'was changed after the run that wrote it'
  return STALE, 'is of a later run of the study'


def _change_of_claims(study_dir: Path) -> tuple[Kind, str]:
  try:
    check_claims(study_dir)
  except UserError as error:
    return ALTERED, f'was changed: {error}'
  return STALE, 'has another registration since'


def _change_of_results(study_dir: Path, name: str, record: Record) -> tuple[Kind, str]:
  """Results of the same checkpoint and settings are computed once; those of others are of another evaluation."""
  stage = _stage(name)
  evaluator = name.removeprefix(f'{STAGES}/{stage}/{EVALUATION}/').rpartition('.')[0]
  known = record.units[stage]['evaluations'].get(evaluator)
  found = _read((study_dir / name).with_suffix('.json'))
  if known is None or digest(found.get('identity')) == known['identity']:
    return ALTERED, 'was changed: it says something else of the same checkpoint, evaluated in the same way'
  return STALE, 'is of another evaluation since'


def _stage(name: str) -> str | None:
  return name.split('/')[1] if name.startswith(f'{STAGES}/') else None


def _read(path: Path) -> dict:
  try:
    return read_json(path)
  except UserError:
    return {}
