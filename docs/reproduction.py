"""Puts tables and pictures of a report into a page: `python docs/reproduction.py RUN/report.md docs/reproduction.md`.

A page has a place for each section that it shows, of a study and a heading of its report.md:

    <!-- reproduction: Claims -->
    <!-- end -->

Lines of single seeds are left out: report.md has them. A picture of the page, `![...](_static/reproduction/share0-0.svg)`, is copied from
RUN/report_files/figures, which `codemix report --files` writes.
"""

import re
import shutil
import sys
from pathlib import Path

SEED = re.compile(r'^\| seed \d+ \|.*(\n|\Z)', re.MULTILINE)
PLACE = re.compile(r'(<!-- ([^:>]+): ([^>]+) -->\n).*?(<!-- end -->)', re.DOTALL)


def sections(report: str) -> tuple[str, dict[str, str]]:
  """(name of the study, what stands below each heading) of a report.md."""
  title, *parts = re.split(r'^## ', report, flags=re.MULTILINE)
  name = title.splitlines()[0].removeprefix('# ')
  return name, {heading: body.strip() for heading, _, body in (part.partition('\n') for part in parts)}


def filled(page: str, report: str) -> str:
  """The page with the places of this study filled. Raises SystemExit for a place of it without a section."""
  name, found = sections(report)

  def fill(place: re.Match) -> str:
    begin, study, heading, end = place.groups()
    if study != name:
      return place[0]
    if heading not in found:
      sys.exit(f"the report of '{name}' has no section '{heading}'; it has {', '.join(found)}")
    return f'{begin}\n{SEED.sub("", found[heading]).strip()}\n\n{end}'

  return PLACE.sub(fill, page)


def copy_pictures(page: str, study: str, figures: Path, static: Path) -> None:
  """Copies the pictures of this study that the page shows from `figures` into `static`/STUDY. Raises SystemExit for one that is not there."""
  for name in re.findall(rf'\(_static/{re.escape(study)}/([\w-]+\.svg)\)', page):
    if not (figures / name).is_file():
      sys.exit(f'{figures} has no {name}: `codemix report --files` writes the pictures')
    (static / study).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(figures / name, static / study / name)


if __name__ == '__main__':
  report, page = map(Path, sys.argv[1:])
  said = report.read_text(encoding='utf-8')
  page.write_text(filled(page.read_text(encoding='utf-8'), said), encoding='utf-8')
  copy_pictures(page.read_text(encoding='utf-8'), sections(said)[0], report.parent / 'report_files' / 'figures', page.parent / '_static')
