"""`codemix report`: a study's folder becomes report.html, report.md, results.csv, scores.csv and claims.csv within it, and report.json, which says what they were computed from."""

from __future__ import annotations

from pathlib import Path

from codemix.report import claim_frame, frames, html, markdown, score_frame
from codemix.report.content import Content, gather
from codemix.report.files import report_files
from codemix.report.inputs import read_inputs
from codemix.report.margins import Margins
from codemix.report.record import write_record
from codemix.report.results import read_study
from codemix.storage import as_path, remove, write_bytes
from codemix.studies.study_record import RECORD, REPORT_FILES, REPORT_FOLDER


def write_report(study_dir: Path | str, files: bool = False, equal_points: float | None = None, equal_percent: float | None = None) -> Path:
  """Writes the files of the report into `study_dir`, claims.csv only if there is a claim; the study may be half done.

  The same folder gives the same bytes. An older report is replaced file by file, each whole; before
  another study runs in the folder, `codemix study` keeps the report (`study_record.keep_former`).
  Raises UserError if the folder is not that of a study, a file of it is damaged, stages were
  evaluated on different documents, registered claims were changed, or the report cannot be written there.

  Args:
    files: also write `report_files/`, the pictures as SVG, PNG and CSV, the tables as LaTeX, and the rows of the CSV files as parquet. If it is there already, it is written
      in any case.
    equal_points, equal_percent: the largest change that does not matter, of scores in points and of bits per byte in percent, each above 0
      and below 100; tables of changes then also say which changes are shown to be smaller. None says nothing of it.

  Returns:
    The path of report.html, a single file that opens offline.
  """
  folder = as_path(study_dir)
  inputs = read_inputs(folder)
  content = gather(read_study(folder), Margins(equal_points, equal_percent))
  written = {name: text.encode() for name, text in texts(content).items()}
  if files or (folder / REPORT_FOLDER).is_dir():  # older ones would be of other numbers than the page
    written |= report_files(content)
  remove(folder / RECORD)  # a report that is half replaced must not be taken for an altered one
  for name in (*REPORT_FILES, REPORT_FOLDER):
    if name not in written:
      remove(folder / name)  # claims.csv of a study that ran here before, pictures of arms that are no more
  for name, data in written.items():
    write_bytes(folder / name, data)
  write_record(folder, content, inputs, written)
  return folder / 'report.html'


def texts(content: Content) -> dict[str, str]:
  """The files of the report by name, without those that the study has no use for."""
  csv = {'index': False, 'lineterminator': '\n'}
  made = {
    'results.csv': frames.results_frame(content.study, content.rows).to_csv(**csv),
    'scores.csv': score_frame.score_frame(content.study).to_csv(**csv),
    **({'claims.csv': claim_frame.claim_frame(content.claims).to_csv(**csv)} if content.claims else {}),
    'report.md': markdown.render(content),
    'report.html': html.render(content),
  }
  return {name: made[name] for name in REPORT_FILES if name in made}
