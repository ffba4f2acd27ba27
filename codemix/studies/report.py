"""`codemix report`: a study's folder becomes report.html, report.md and results.csv within it."""

from __future__ import annotations

from pathlib import Path

from codemix.files import write_text
from codemix.studies import report_content, report_html, report_markdown
from codemix.studies.results import read_study


def write_report(study_dir: Path | str) -> Path:
  """Writes the three files of the report into `study_dir`; a study that is half done is no error.

  The same folder gives the same bytes. An older report is replaced file by file, each whole.

  Returns:
    The path of report.html, a single file that opens offline.

  Raises:
    UserError: the folder is no study, a file of it is damaged, stages were evaluated on different
      documents, or the report cannot be written there.
  """
  folder = Path(study_dir)
  content = report_content.gather(read_study(folder))
  write_text(folder / 'results.csv', content.results.to_csv(index=False, lineterminator='\n'))
  write_text(folder / 'report.md', report_markdown.render(content))
  write_text(folder / 'report.html', report_html.render(content))
  return folder / 'report.html'
