"""`codemix verify` of a report: its tables are computed again from its units, and every number compared."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from codemix.errors import UserError
from codemix.formatting import count
from codemix.report.content import gather
from codemix.report.files import report_files
from codemix.report.input_changes import ALTERED, MISSING, STALE, Finding, input_findings
from codemix.report.inputs import STUDY, FileContent, stages_of
from codemix.report.output_changes import differences
from codemix.report.places import places_of
from codemix.report.record import Record, read_record, versions
from codemix.report.results import read_study
from codemix.report.write import texts
from codemix.storage import as_path, read_json
from codemix.studies.study_record import FORMER, REPORT_FOLDER

_MOST = 20  # differences of a file that are named
_DRAWN = ('.svg', '.png', '.parquet')  # compared with their digests alone; the same numbers are in CSV files


@dataclasses.dataclass(frozen=True)
class Verified:
  """What became of a report.

  Attributes:
    findings: what differs; empty if the report is what its units say.
    units: how many stages it was computed from.
    files: how many of its files were compared.
    values: numbers and texts that were compared.
    sealed: whether it has a `report.json`; nothing is compared without one.
    former: whether it is of a study that ran in its folder before, which `codemix study` kept.
    others: packages whose versions were others when it was written. Pages are then compared with their digests alone.
  """

  findings: Sequence[Finding] = ()
  units: int = 0
  files: int = 0
  values: int = 0
  sealed: bool = True
  former: bool = False
  others: Sequence[str] = ()

  @property
  def state(self) -> str:
    """'not sealed', 'as its units say', 'altered' (or something is missing) or 'stale'."""
    if not self.sealed:
      return 'not sealed'
    kinds = {finding.kind for finding in self.findings}
    return 'altered' if kinds & {ALTERED, MISSING} else 'stale' if kinds else 'as its units say'


def verify_report(report_dir: Path | str) -> Verified:
  """Compares a report with what its units say now. Raises UserError if report.json is damaged or was changed."""
  folder = as_path(report_dir)
  record = read_record(folder)
  if record is None:
    return Verified(sealed=False)
  former = folder.parent.name == FORMER
  study_dir = folder.parent.parent if former else folder
  written = {name: text for name in record.outputs if (text := _read(folder / name)) is not None}
  changed = {name for name, text in written.items() if FileContent.of(text) != record.outputs[name]}
  others = [name for name, version in versions().items() if record.written_by.get(name) != version]
  found = input_findings(study_dir, record, folder / STUDY)
  findings = [Finding(MISSING, name, 'is missing') for name in record.outputs if name not in written] + found
  values = 0
  if found and all(finding.kind == STALE for finding in found):
    # Its units say more by now, so only the digests tell whether somebody changed the report before.
    findings += [Finding(ALTERED, name, 'was changed after it was written') for name in sorted(changed)]
  else:
    computed, failed = _compute(study_dir, folder / STUDY, record, bool(found))
    findings += failed
    for name in written if computed else ():
      findings += _compare(name, written[name], computed.get(name), changed=name in changed, other_versions=bool(others))
      values += sum(not said.drawn for said in places_of(name, computed.get(name) or '')) if not name.endswith(_DRAWN) else 0
  if former and (more := _arms_since(record, study_dir)):
    findings.append(Finding(STALE, STUDY, more))
  return Verified(findings, len(record.units), len(written), values, former=former, others=others)


def _compute(study_dir: Path, study_file: Path, record: Record, explained: bool) -> tuple[dict[str, str], list[Finding]]:
  """The texts of the report computed again, '' for a picture; or why that is not possible, unless what was found explains it."""
  try:
    content = gather(read_study(study_dir, study_file), record.margins)
    files = report_files(content) if any(name.startswith(REPORT_FOLDER) for name in record.outputs) else {}
    return texts(content) | {name: '' if name.endswith(_DRAWN) else data.decode() for name, data in files.items()}, []
  except UserError as error:
    return {}, [] if explained else [Finding(ALTERED, STUDY, f'cannot be reported on any more: {error}')]


def _arms_since(record: Record, study_dir: Path) -> str:
  """What the study that ran last has more than the one of a former report, if it is the same study."""
  new = [stage for stage in stages_of(study_dir / STUDY) if stage not in record.units]
  with contextlib.suppress(UserError):
    if new and read_json(study_dir / STUDY).get('name') == record.study:
      return f'of the same study has {count(len(new), "stage")} more since: {", ".join(new[:3])}{", ..." if new[3:] else ""}'
  return ''


def _compare(name: str, written: bytes, computed: str | None, changed: bool, other_versions: bool) -> Iterator[Finding]:
  if computed is None:
    yield Finding(ALTERED, name, 'is not a part of the report that is computed now')
    return
  if name.endswith(_DRAWN):
    if changed:
      yield Finding(ALTERED, name, 'was changed after it was written')
    return
  if not changed and other_versions and not name.endswith('.csv'):
    return
  found = list(differences(name, written.decode(errors='replace'), computed, as_written=not changed))
  how = '' if changed else ', though the file is as it was written'
  yield from (Finding(ALTERED, name, f'differs at {each}{how}') for each in found[:_MOST])
  if len(found) > _MOST:
    yield Finding(ALTERED, name, f'differs at {len(found) - _MOST} more places')
  if changed and not found:
    yield Finding(ALTERED, name, 'was changed after it was written')


def _read(path: Path) -> bytes | None:
  return path.read_bytes() if path.is_file() else None
