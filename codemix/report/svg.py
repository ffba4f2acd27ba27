"""Matplotlib figures as inline SVG: text stays text, colours follow the page, the same bytes each time.

Only object-oriented matplotlib: no pyplot, and the settings it needs hold for the drawing alone.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from codemix.report import palette

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_SETTINGS = {
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.size': 11,
  'text.parse_math': False,  # a recipe may be called a$b$c
  'text.color': palette.INK,
  'axes.edgecolor': palette.MUTED,
  'axes.labelcolor': palette.INK,
  'axes.linewidth': 0.8,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'axes.titlesize': 12,
  'axes.titleweight': 'bold',
  'axes.titlelocation': 'left',
  'axes.labelsize': 11,
  'grid.color': palette.RULE,
  'grid.linewidth': 0.7,
  'xtick.color': palette.MUTED,
  'ytick.color': palette.MUTED,
  'xtick.labelsize': 10.5,
  'ytick.labelsize': 10.5,
  'xtick.major.size': 3,
  'ytick.major.size': 0,
  'lines.solid_capstyle': 'round',
  'lines.dash_capstyle': 'round',
  'path.simplify_threshold': 0.3,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
  """The look of the report's figures, inside the block only. Make and save figures within it."""
  import matplotlib

  with matplotlib.rc_context(_SETTINGS | {'svg.hashsalt': 'codemix'}), warnings.catch_warnings():
    # A name in a script that the font lacks: the page shows it with the reader's fonts.
    warnings.filterwarnings('ignore', message='Glyph .* missing from font')
    yield


def figure(width: float, height: float) -> Figure:
  """An empty figure of `width` x `height` CSS pixels (text sizes are in the same unit)."""
  from matplotlib.figure import Figure

  return Figure(figsize=(width / 72, height / 72), dpi=72, layout='constrained')


@dataclasses.dataclass(frozen=True)
class Picture:
  """A figure in the page, and its files to keep.

  Attributes:
    name: unique in the page; ids within the picture start with it.
    inline: an <svg> element whose colours follow the page.
    svg: a file of its own, in the light colours.
    png: the same as pixels.
    csv: the numbers that are drawn.
  """

  name: str
  inline: str
  svg: str
  png: bytes
  csv: str


def picture(
  drawn: Figure, name: str, alt: str, header: Sequence[str], lines: Iterable[Sequence[object]]
) -> Picture:
  """The figure for a page, with what can be downloaded of it.

  Args:
    name: unique in the page.
    alt: what the picture shows, for those who do not see it.
    header, lines: the numbers that are drawn, as a table; NaN is an empty cell.
  """
  from matplotlib.backends.backend_svg import FigureCanvasSVG

  vector = io.StringIO()
  FigureCanvasSVG(drawn)
  drawn.savefig(vector, format='svg', transparent=True, metadata={'Date': None})
  body = re.search(r'<svg\b.*</svg>', vector.getvalue(), re.DOTALL).group(0)
  for unwanted in (r'<metadata>.*?</metadata>', r'<!--.*?-->'):
    body = re.sub(unwanted, '', body, flags=re.DOTALL)
  body = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, body)
  body = re.sub(r'\s*\n\s*', ' ', body)
  return Picture(name, _inline(body, name, alt), body, _pixels(drawn), _table(header, lines))


def _pixels(drawn: Figure) -> bytes:
  """A PNG of twice the size, with a palette: a third of the bytes, and a page holds many."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from PIL import Image

  drawn.set_layout_engine('none')  # as the vectors were laid out
  drawn.set_dpi(144)
  drawn.patch.set_facecolor('white')
  canvas = FigureCanvasAgg(drawn)
  canvas.draw()
  flat = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert('RGB')
  file = io.BytesIO()
  flat.quantize(64, dither=Image.Dither.NONE).save(file, format='png', optimize=True)
  return file.getvalue()


def short(name: str, letters: int = 28) -> str:
  """A name that is too long for a picture, without its middle."""
  if len(name) <= letters:
    return name
  return f'{name[: letters // 2].rstrip()}…{name[-(letters - letters // 2 - 1) :].lstrip()}'


def _table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(header)
  writer.writerows([_cell(value) for value in line] for line in lines)
  return text.getvalue()


def _cell(value: object) -> object:
  if not isinstance(value, float):
    return value
  return '' if math.isnan(value) else f'{value:.5g}'


def _inline(body: str, name: str, alt: str) -> str:
  """The figure as an <svg> element to put in a page."""
  viewbox = re.search(r'viewBox="([^"]+)"', body).group(1)
  # A style sheet within an inline picture would hold for the whole page, and so would its font.
  for unwanted in (r'<style\b.*?</style>', r"font-family: [^;\"]*; ?"):
    body = re.sub(unwanted, '', body, flags=re.DOTALL)
  body = _with_variables(_with_own_ids(body, name))
  opening = f'<svg viewBox="{viewbox}" role="img" aria-label="{escape(alt)}">'
  return re.sub(r'<svg\b[^>]*>', lambda _: opening, body, count=1)


def _rounded(attribute: re.Match) -> str:
  """Coordinates to a tenth of a pixel: half of the bytes, and no eye can tell."""
  return re.sub(r'\d+\.\d{2,}', lambda number: f'{float(number.group(0)):.1f}', attribute.group(0))


def _with_own_ids(body: str, name: str) -> str:
  """Ids that something refers to get the picture's name in front; the others go."""
  used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
  body = re.sub(
    r' id="([^"]+)"', lambda m: f' id="{name}-{m.group(1)}"' if m.group(1) in used else '', body
  )
  body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
  return body.replace('url(#', f'url(#{name}-')


def _with_variables(body: str) -> str:
  colours = {paint.light: paint.variable for paint in palette.all_paints()}
  colours |= {light: name for name, light in palette.FURNITURE.items()}
  return re.sub(
    '|'.join(map(re.escape, colours)), lambda found: f'var(--{colours[found.group(0)]})', body
  )
