"""Matplotlib figures as SVG, PNG and CSV, the same bytes each time; text stays text.

Only object-oriented matplotlib: no pyplot, and the settings it needs hold for the drawing alone.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from codemix.report import palette

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_SETTINGS = {
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.sans-serif': ['DejaVu Sans', 'sans-serif'],
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
_NO_METADATA = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))


_pixels_wanted = contextvars.ContextVar('pixels', default=True)


@contextlib.contextmanager
def drawing(pixels: bool = True) -> Iterator[None]:
  """The look of the report's figures, inside the block only. Make and save figures within it.

  Args:
    pixels: whether pictures have a `png`; it takes as long as the rest.
  """
  import matplotlib

  before = _pixels_wanted.set(pixels)
  try:
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
      # A name in a script that the font lacks: the page shows it with the reader's fonts.
      warnings.filterwarnings('ignore', message='Glyph .* missing from font')
      yield
  finally:
    _pixels_wanted.reset(before)


def figure(width: float, height: float, margins: tuple[float, float, float, float] | None = None) -> Figure:
  """An empty figure of `width` x `height` CSS pixels (text sizes are in the same unit).

  Args:
    margins: left, right, bottom and top in CSS pixels; None to fit them to what is drawn, which takes as long as the drawing.
  """
  from matplotlib.figure import Figure

  size = {'figsize': (width / 72, height / 72), 'dpi': 72}
  if margins is None:
    return Figure(**size, layout='constrained')
  left, right, bottom, top = margins
  drawn = Figure(**size, layout='none')
  drawn.subplots_adjust(left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height)
  return drawn


@dataclasses.dataclass(frozen=True)
class Picture:
  """A drawn figure.

  Attributes:
    name: unique in the page.
    alt: what the picture shows, for those who do not see it.
    svg: an <svg> element, in the light colours; also a file of its own.
    png: the same as pixels; b'' if they are not wanted (`drawing`).
    csv: the numbers that are drawn.
  """

  name: str
  alt: str
  svg: str
  png: bytes
  csv: str


def picture(
  drawn: Figure, name: str, alt: str, header: Sequence[str], lines: Iterable[Sequence[object]]
) -> Picture:
  """Renders a figure.

  Args:
    name, alt: as of `Picture`.
    header, lines: the numbers that are drawn, as a table; NaN is an empty cell.
  """
  import matplotlib
  import pandas as pd

  file = io.StringIO()
  # The salt makes the ids of markers and clips unique in the page; those of groups are not referred to.
  with matplotlib.rc_context({'svg.hashsalt': name}):
    drawn.savefig(file, format='svg', transparent=True, metadata=_NO_METADATA)
  text = re.sub(r'<g id="[\w.]+"', '<g', ' '.join(map(str.strip, file.getvalue().splitlines())))
  table = pd.DataFrame(lines, columns=header).to_csv(index=False, float_format='%.5g', lineterminator='\n')
  return Picture(name, alt, text[text.index('<svg') :], _pixels(drawn) if _pixels_wanted.get() else b'', table)


def _pixels(drawn: Figure) -> bytes:
  """A PNG of twice the size, of 64 colours: a third of the bytes, and a page holds many."""
  from PIL import Image

  drawn.set_layout_engine('none')  # as the SVG was laid out
  full, small = io.BytesIO(), io.BytesIO()
  drawn.savefig(full, format='png', dpi=144, facecolor='white')
  reduced = Image.open(full).convert('RGB').quantize(64, dither=Image.Dither.NONE)
  reduced.save(small, format='png', optimize=True)
  return small.getvalue()


def short(name: str, letters: int = 28) -> str:
  """A name that is too long for a picture, without its middle."""
  if len(name) <= letters:
    return name
  return f'{name[: letters // 2].rstrip()}…{name[-(letters - letters // 2 - 1) :].lstrip()}'
