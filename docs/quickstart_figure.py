"""Takes the first figure of a report for the README: `python docs/quickstart_figure.py REPORT.html FIGURE.svg`.

The figure gets the page's light background, since a README may be shown on a dark one.
"""

import re
import sys
from pathlib import Path

GROUND = '<rect width="100%" height="100%" fill="#fcfbf8"/>'


def standalone(page: str) -> str:
  """The first figure of a page as a file of its own."""
  picture = re.search(r'<svg [^>]*xmlns=.*?</svg>', page, re.DOTALL)[0]
  return picture.replace('>', f'>{GROUND}', 1) + '\n'


if __name__ == '__main__':
  report, figure = map(Path, sys.argv[1:])
  figure.write_text(standalone(report.read_text(encoding='utf-8')), encoding='utf-8')
