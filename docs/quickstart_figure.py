"""Takes the first figure of a report for the README: `python docs/quickstart_figure.py REPORT.html FIGURE.svg`.

The figures of a report take colours and font from its page; here they get those of its light theme.
"""

import re
import sys
from pathlib import Path

FONT = 'system-ui, -apple-system, Segoe UI, Noto Sans, Liberation Sans, Arial, sans-serif'


def standalone(page: str) -> str:
  """The first figure of a page as a file of its own."""
  picture = re.search(r'<svg viewBox="0 0 (\d+) (\d+)" role="img".*?</svg>', page, re.DOTALL)
  colours = dict(reversed(re.findall(r'(--[\w-]+): (#[0-9a-f]{6})', page)))  # the first, which is the light theme's
  drawn = re.sub(r'var\((--[\w-]+)\)', lambda found: colours[found[1]], picture[0])
  width, height = picture.groups()
  head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="{FONT}" '
  ground = f'<rect width="{width}" height="{height}" fill="{colours["--paper"]}"/>'
  return re.sub(r'<svg ([^>]*)>', lambda found: f'{head}{found[1]}>\n{ground}', drawn, count=1) + '\n'


if __name__ == '__main__':
  report, figure = map(Path, sys.argv[1:])
  figure.write_text(standalone(report.read_text(encoding='utf-8')), encoding='utf-8')
